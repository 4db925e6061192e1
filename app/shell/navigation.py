"""The menu, and on which page long work is drawn."""

# In the order of the menu: file, title, path in the URL.
PAGES = (
    ("start.py", "Start", ""),
    ("forward_lens.py", "Forward lens", "forward_lens"),
    ("backward_lens.py", "Backward lens", "backward_lens"),
    ("gradient_rank.py", "Gradient rank", "gradient_rank"),
    ("where_learning_happens.py", "Where learning happens", "where_learning_happens"),
    ("imprint_and_shift.py", "Imprint and shift", "imprint_and_shift"),
    ("neurons.py", "Neurons", "neurons"),
    ("across_layers.py", "Across layers", "across_layers"),
    ("many_prompts.py", "Many prompts", "many_prompts"),
    ("edit.py", "Edit", "edit"),
    ("ask.py", "Ask", "ask"),
    ("edit_strength.py", "Edit strength", "edit_strength"),
)

# The slots of a session's long work, and the path of the page that draws each whole.
STUDY, EDIT, TUNE, STRENGTH, ASK_ALL = "study", "edit", "tune", "strength", "ask_all"
JOB_PAGES = {
    STUDY: "many_prompts",
    EDIT: "edit",
    TUNE: "edit",
    STRENGTH: "edit_strength",
    ASK_ALL: "ask",
}
WORKSHOP_PAGE = ("workshop.py", "Workshop", "workshop")  # in the menu of a workshop's facilitator
