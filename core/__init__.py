"""Backward Lens: language-model gradients, read in the model's own vocabulary.

After Katz, Belinkov, Geva and Wolf, "Backward Lens: Projecting Language Model Gradients into the
Vocabulary Space" (EMNLP 2024). Works from a plain Python shell:

    from core import backward_lens, load_model, trace

    model = load_model("tiny-gpt2")
    backward_lens(trace(model, "Obama grew up in", "Paris"))
"""

from core.ask import answers, complete
from core.catalog import CATALOG, ModelCard, download_model, is_on_this_machine
from core.edit_files import edit_bytes, edit_from_bytes, export_model
from core.editing import METHODS, edit, edit_many
from core.edits import Change, Edit, Fact, edited, fingerprint
from core.errors import BackwardLensError, Cancelled, EditError, ModelError, PromptError
from core.lens import backward_lens, forward_lens, vjp_norms
from core.loading import load_model
from core.model import LanguageModel
from core.rank import gradient_rank, rank_curve
from core.second_moments import estimate_seconds, missing_second_moments, second_moments
from core.side_effects import side_effects
from core.tokens import Target
from core.trace import Factors, Trace, trace

__all__ = [
    "CATALOG",
    "METHODS",
    "BackwardLensError",
    "Cancelled",
    "Change",
    "Edit",
    "EditError",
    "Fact",
    "Factors",
    "LanguageModel",
    "ModelCard",
    "ModelError",
    "PromptError",
    "Target",
    "Trace",
    "answers",
    "backward_lens",
    "complete",
    "download_model",
    "edit",
    "edit_bytes",
    "edit_from_bytes",
    "edit_many",
    "edited",
    "estimate_seconds",
    "export_model",
    "fingerprint",
    "forward_lens",
    "gradient_rank",
    "is_on_this_machine",
    "load_model",
    "missing_second_moments",
    "rank_curve",
    "second_moments",
    "side_effects",
    "trace",
    "vjp_norms",
]
