"""Ask: any prompt, answered by the model as it is and with the session's edits."""

import core
from app import ledger
from app.cells.ask import ask_cell, table_cell
from app.models import load
from app.notebook import page_title
from app.state import chosen_model, require_model

page_title(
    "What does the edited model say?",
    "Completions, and the most probable next tokens (answers), with and without your edits.",
)
require_model()
model: core.LanguageModel = load(chosen_model())
active = ledger.active(model)
ask_cell(model, active)
table_cell(model, active)
