"""An edited model as an ordinary folder, for people and programs that know nothing of edits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from core.errors import EditError
from core.model.architectures import weight_in_out
from core.model.edits import Edit, check_fits
from core.model.language_model import LanguageModel


def export_model(model: LanguageModel, edits: Sequence[Edit], folder: str | Path) -> None:
    """Write an ordinary Hugging Face folder: the model with the edits merged, and its tokenizer.

    The shared model is only read: the changed weights are new tensors. Raises EditError for an
    edit that does not fit, and for a folder that cannot be written.
    """
    check_fits(model, edits)
    state = model.network.state_dict()
    names = {id(module): name for name, module in model.network.named_modules()}
    for edit in edits:
        for change in edit.changes:
            first = 0
            for module in model.modules(change.matrix, change.layer):
                key = f"{names[id(module)]}.weight"
                last = first + weight_in_out(module).shape[1]
                delta = change.weight_change[:, first:last].to(module.weight.device)
                if weight_in_out(module) is not module.weight:
                    delta = delta.mT
                state[key] = (state[key].to(torch.float64) + delta).to(module.weight.dtype)
                first = last
    try:
        model.network.save_pretrained(folder, state_dict=state)
        model.tokenizer.save_pretrained(folder)
    except OSError as error:
        raise EditError(
            f"The folder cannot be written: {error.strerror}. Choose another one."
        ) from None
