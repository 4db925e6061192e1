"""Ask: any prompt, answered by the model as it is and with the session's edits."""

import core
from app.cells.conversation import ask_cell
from app.cells.prompt_table import table_cell
from app.notebook.cell import page_title
from app.shell import ledger
from app.shell.models import load
from app.shell.state import chosen_key, require_model

page_title(
    "What does the edited model say?",
    "Completions, and the most probable next tokens (answers), with and without your edits.",
)
require_model()
model: core.LanguageModel = load(chosen_key())
active = ledger.active(model)
ask_cell(model, active)
table_cell(model, active)
