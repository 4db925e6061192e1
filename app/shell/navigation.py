"""The menu, and on which page long work is drawn."""

from __future__ import annotations

from dataclasses import dataclass

LOOK, MEASURE, EDIT_GROUP = GROUPS = ("Look", "Measure", "Edit")


@dataclass(frozen=True)
class Page:
    """A page: its file, its title in the menu, its path in the URL, what it answers, and the group
    of the menu in which it stands; those without one come first."""

    file: str
    title: str
    path: str
    answers: str
    group: str = ""

    @property
    def script(self) -> str:
        """As Streamlit's links want it."""
        return f"../pages/{self.file}"


MY_NOTEBOOK = Page(
    "my_notebook.py",
    "My notebook",
    "my_notebook",
    "What did you find? The cells that you keep, your own text, and files of them.",
)
# In the order of the menu.
PAGES = (
    Page("start.py", "Start", "", "What would the model learn? The first picture, and examples."),
    Page("lessons.py", "Lessons", "lessons", "Where do I begin? Six short lessons, with hints."),
    MY_NOTEBOOK,
    Page(
        "forward_lens.py",
        "Forward lens",
        "forward_lens",
        "What does the model think, layer by layer?",
        LOOK,
    ),
    Page("backward_lens.py", "Backward lens", "backward_lens", "What would it change?", LOOK),
    Page(
        "gradient_rank.py",
        "Gradient rank",
        "gradient_rank",
        "How many directions does the change have?",
        LOOK,
    ),
    Page(
        "where_learning_happens.py",
        "Where learning happens",
        "where_learning_happens",
        "How strong is the signal, and where does it point to the target?",
        LOOK,
    ),
    Page(
        "imprint_and_shift.py",
        "Imprint and shift",
        "imprint_and_shift",
        "How does one step store the target?",
        LOOK,
    ),
    Page("neurons.py", "Neurons", "neurons", "Which neurons would change?", LOOK),
    Page("across_layers.py", "Across layers", "across_layers", "Do all layers learn alike?", LOOK),
    Page(
        "many_prompts.py",
        "Many prompts",
        "many_prompts",
        "What holds over many prompts, the paper's or your own?",
        MEASURE,
    ),
    Page("compare.py", "Compare", "compare", "What differs between two requests?", MEASURE),
    Page("benchmark.py", "Benchmark", "benchmark", "Which method edits best?", MEASURE),
    Page(
        "edit_strength.py",
        "Edit strength",
        "edit_strength",
        "How strong must an edit be, and what does it cost?",
        MEASURE,
    ),
    Page("edit.py", "Edit", "edit", "Can you make it say something else?", EDIT_GROUP),
    Page("ask.py", "Ask", "ask", "What does the edited model say?", EDIT_GROUP),
)
# In the menu of a workshop's facilitator.
WORKSHOP_PAGE = Page("workshop.py", "Workshop", "workshop", "Who is here, and what are they doing?")


def page_at(path: str) -> Page:
    """The page with this path in the URL."""
    return next(page for page in PAGES if page.path == path)


# The slots of a session's long work, and the path of the page that draws each whole.
STUDY, EDIT, TUNE, STRENGTH, ASK_ALL = "study", "edit", "tune", "strength", "ask_all"
MEND = "mend"
BENCHMARK = "benchmark"
JOB_PAGES = {
    STUDY: "many_prompts",
    BENCHMARK: "benchmark",
    EDIT: "edit",
    TUNE: "edit",
    MEND: "edit",
    STRENGTH: "edit_strength",
    ASK_ALL: "ask",
}
