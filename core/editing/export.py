"""An edited model as an ordinary folder, for people and programs that know nothing of edits."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from core.errors import EditError
from core.model.architectures import shape_in_out
from core.model.compact import Int8Matrix, stores_in_out
from core.model.edits import Change, Edit, check_fits
from core.model.language_model import LanguageModel

SHARD_BYTES = 2 * 10**9  # of one file, so that a large model is never in memory twice


def export_model(model: LanguageModel, edits: Sequence[Edit], folder: str | Path) -> None:
    """Write an ordinary Hugging Face folder: the model with the edits merged, and its tokenizer.

    The shared model is only read: the changed weights are new tensors. 8-bit matrices are written
    in the precision of the decoding matrix. Raises EditError for an edit that does not fit, and for
    a folder that cannot be written.
    """
    check_fits(model, edits)
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        config = copy.deepcopy(model.network.config)
        config.dtype = model.dtype
        config.save_pretrained(folder)
        if model.network.generation_config is not None:
            model.network.generation_config.save_pretrained(folder)
        write_shards(folder, edited_weights(model, edits))
        model.tokenizer.save_pretrained(folder)
    except OSError as error:
        raise EditError(
            f"The folder cannot be written: {error.strerror}. Choose another one."
        ) from None


def edited_weights(model: LanguageModel, edits: Sequence[Edit]) -> Iterator[tuple[str, Tensor]]:
    """Every weight by its name with the edits added, one after the other; tied ones come once."""
    changes = changes_by_module(model, edits)
    seen: set[nn.Parameter] = set()
    for path, module in model.network.named_modules():
        for name, value in own_weights(module, model.dtype):
            if value in seen:
                continue
            if isinstance(value, nn.Parameter):
                seen.add(value)
            kept = value.detach()
            for change, columns in changes.get(module, ()) if name == "weight" else ():
                delta = change.weight_change[:, columns].to(kept.device)
                delta = delta if stores_in_out(module) else delta.mT
                kept = (kept.to(torch.float64) + delta).to(value.dtype)
            yield f"{path}.{name}", kept.cpu().contiguous()


def own_weights(module: nn.Module, dtype: torch.dtype) -> Iterator[tuple[str, Tensor]]:
    """A module's own parameters; those of an 8-bit matrix as the numbers that they stand for."""
    for name, value in module.named_parameters(recurse=False):
        if not isinstance(module, Int8Matrix):
            yield name, value
        elif name == "codes":
            yield "weight", module.weight.to(dtype)
        elif name == "bias":
            yield name, value


def changes_by_module(
    model: LanguageModel, edits: Sequence[Edit]
) -> dict[nn.Module, list[tuple[Change, slice]]]:
    """The changes of each module, and which columns of a change are the module's."""
    found: dict[nn.Module, list[tuple[Change, slice]]] = {}
    for change in (change for edit in edits for change in edit.changes):
        first = 0
        for module in model.modules(change.matrix, change.layer):
            last = first + shape_in_out(module)[1]
            found.setdefault(module, []).append((change, slice(first, last)))
            first = last
    return found


def write_shards(folder: Path, weights: Iterable[tuple[str, Tensor]]) -> None:
    """Safetensors files of about SHARD_BYTES each and their index; one file if it is enough."""
    places: dict[str, str] = {}
    shard: dict[str, Tensor] = {}
    size = total = count = 0

    def write() -> None:
        nonlocal shard, size, count
        count += 1
        file = f"model-{count:05d}.safetensors"
        save_file(shard, folder / file, metadata={"format": "pt"})
        places.update(dict.fromkeys(shard, file))
        shard, size = {}, 0

    for name, value in weights:
        if shard and size + value.nbytes > SHARD_BYTES:
            write()
        shard[name] = value
        size, total = size + value.nbytes, total + value.nbytes
    write()
    if count == 1:
        (folder / f"model-{count:05d}.safetensors").replace(folder / "model.safetensors")
        return
    index = {"metadata": {"total_size": total}, "weight_map": places}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
