"""Second moments C = E[k k^T] of FF2's inputs: what ROME and MEMIT must not disturb.

They come from a text: a file of the user's; for a built-in model the facts that it was trained
on; for any other model text that it writes itself, with a fixed seed. Computed once for each
model, layer and text, and kept on disk.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from core.editing.hyperparameters import check_layers
from core.errors import EditError
from core.model.capture import exclusive
from core.model.catalog import BUILTIN, BUILTIN_FOLDER
from core.model.fingerprint import fingerprint
from core.model.language_model import LanguageModel
from core.model.sampling import sample_rows
from core.model.threads import SMALL
from core.model.workplace import WRITING, workplace

# Tokens for an m x m matrix, in multiples of m; a few are said to be enough.
WIDTHS_OF_TEXT = 100
WIDTHS_OF_OWN_TEXT = 20  # which takes longer to write than to read
ROW_TOKENS = 128
BATCH_ROWS = 16
RIDGE = 1e-3  # of the mean eigenvalue, so that C can be inverted
MAX_TEXT_BYTES = 100_000_000
SEED = 0
OnStep = Callable[[int, int], None]


def second_moments(
    model: LanguageModel,
    layers: Sequence[int],
    *,
    text_file: str | Path | None = None,
    on_step: OnStep = lambda done, total: None,
) -> dict[int, Tensor]:
    """C of each layer, (d_mlp, d_mlp) float64 on the CPU, with a small ridge.

    From the cache where it is there; else one pass over the text for all missing layers.
    `on_step(tokens done, all tokens)` may raise Cancelled, which leaves nothing behind. The model
    is locked batch by batch. Raises EditError for a layer or a file that does not exist.
    """
    check_layers(model, layers)
    source = source_name(model, text_file)
    kept = {layer: read_cached(model, layer, source) for layer in layers}
    missing = [layer for layer, moment in kept.items() if moment is None]
    if missing:
        computed = compute(model, missing, text_file, on_step)
        for layer, moment in computed.items():
            write_cached(model, layer, source, moment)
        kept |= computed
    return {layer: with_ridge(kept[layer]) for layer in layers}


def missing_second_moments(
    model: LanguageModel, layers: Sequence[int], *, text_file: str | Path | None = None
) -> tuple[int, ...]:
    """The layers whose second moments are not in the cache yet."""
    source = source_name(model, text_file)
    return tuple(n for n in layers if not cache_file(model, n, source).exists())


def estimate_seconds(
    model: LanguageModel, layers: Sequence[int], *, text_file: str | Path | None = None
) -> float:
    """How long the missing second moments will take, from one timed batch; 0 if none is missing."""
    missing = missing_second_moments(model, layers, text_file=text_file)
    if not missing:
        return 0.0
    shape = (BATCH_ROWS, min(ROW_TOKENS, model.context_length))
    start = time.perf_counter()
    add_batch(model, {n: empty_moment(model) for n in missing}, torch.zeros(shape).long())
    batches = wanted_tokens(model, text_file) / (shape[0] * shape[1])
    # A model that writes its text makes it token by token, which takes a few times as long.
    return (4 if writes_own_text(model, text_file) else 1) * batches * (time.perf_counter() - start)


def compute(
    model: LanguageModel, layers: Sequence[int], text_file: str | Path | None, on_step: OnStep
) -> dict[int, Tensor]:
    """Mean of k k^T over the text's tokens. Products in float32, sums in float64."""
    total, done = wanted_tokens(model, text_file), 0
    moments = {layer: empty_moment(model) for layer in layers}

    def report() -> None:
        on_step(min(done, total), total)

    for ids in batches_of_text(model, text_file, report):
        ids = ids[: max(1, -(-(total - done) // ids.shape[1]))]
        add_batch(model, moments, ids)
        done += ids.numel()
        report()
        if done >= total:
            break
    if done == 0:
        raise EditError("The text for the second moments is empty. Choose a longer one.")
    return {layer: moment / done for layer, moment in moments.items()}


def wanted_tokens(model: LanguageModel, text_file: str | Path | None) -> int:
    """How many tokens are read; a shorter text is read once."""
    widths = WIDTHS_OF_OWN_TEXT if writes_own_text(model, text_file) else WIDTHS_OF_TEXT
    return widths * model.d_mlp


def writes_own_text(model: LanguageModel, text_file: str | Path | None) -> bool:
    return text_file is None and model.name not in BUILTIN


def empty_moment(model: LanguageModel) -> Tensor:
    return torch.zeros(model.d_mlp, model.d_mlp, dtype=torch.float64)


def add_batch(model: LanguageModel, moments: dict[int, Tensor], ids: Tensor) -> None:
    """Add k k^T of every token of ids (row, token) to each layer's sum.

    One turn; of a large model, for which others may wait, one a row. The keys are used up in the
    hook: those of all layers at once would not fit into memory.
    """

    def adding(moment: Tensor):
        def add(_: nn.Module, inputs: tuple) -> None:
            keys = inputs[0].flatten(0, 1).float()  # (token, d_mlp)
            moment.add_((keys.mT @ keys).cpu())

        return add

    for rows in ids.split(1 if model.size > SMALL else len(ids)):
        with exclusive(model, gradients=False), ExitStack() as stack:
            for layer, moment in moments.items():
                (module,) = model.modules("ff2", layer)
                stack.callback(module.register_forward_pre_hook(adding(moment)).remove)
            model.network.base_model(input_ids=rows.to(model.device), use_cache=False)


def with_ridge(moment: Tensor) -> Tensor:
    ridge = RIDGE * moment.diagonal().mean()
    return moment + ridge * torch.eye(len(moment), dtype=moment.dtype)


def batches_of_text(
    model: LanguageModel, text_file: str | Path | None, on_token: Callable[[], None]
) -> Iterator[Tensor]:
    """Token ids (row, token) of the text, without padding; endless for a model's own text."""
    length = min(ROW_TOKENS, model.context_length)
    if writes_own_text(model, text_file):
        generator = torch.Generator().manual_seed(SEED)
        yield from own_text(model, length, generator, on_token)
        return
    content = builtin_text() if text_file is None else read_text(text_file)
    start = model.tokenizer("", verbose=False).input_ids  # BOS, where the model has one
    ids = model.tokenizer(content, add_special_tokens=False, verbose=False).input_ids
    step = length - len(start)
    rows = [start + ids[i : i + step] for i in range(0, len(ids) - step + 1, step)] or [start + ids]
    for i in range(0, len(rows), BATCH_ROWS):
        if rows[i]:
            yield torch.tensor(rows[i : i + BATCH_ROWS])


def own_text(
    model: LanguageModel,
    length: int,
    generator: torch.Generator,
    on_token: Callable[[], None],
) -> Iterator[Tensor]:
    while True:
        yield sample_rows(model, BATCH_ROWS, length, generator, on_token=on_token)


def builtin_text() -> str:
    """The sentences that the built-in models learned from, each once, in a fixed order."""
    data = BUILTIN_FOLDER.parent
    relations = json.loads((data / "relations.json").read_text(encoding="utf-8"))["relations"]
    with open(data / "facts.csv", encoding="utf-8", newline="") as file:
        sentences = [
            f"{phrasing.format(fact['subject'])} {fact['object']}."
            for fact in csv.DictReader(file)
            for phrasing in relations[fact["relation"]]["phrasings"]
        ]
    random.Random(SEED).shuffle(sentences)
    return " ".join(sentences)


def read_text(path: str | Path) -> str:
    """A text file in UTF-8 of at most MAX_TEXT_BYTES; raises EditError."""
    try:
        if Path(path).stat().st_size > MAX_TEXT_BYTES:
            raise EditError(
                f"The text is larger than {MAX_TEXT_BYTES // 10**6} MB. Choose a shorter one."
            )
        return Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise EditError(f"The text cannot be read: {error.strerror}. Check the path.") from None
    except UnicodeDecodeError:
        raise EditError("The text is not in UTF-8. Save it in that encoding.") from None


def source_name(model: LanguageModel, text_file: str | Path | None) -> str:
    """What tells the cached results of one text from those of another."""
    amount = f"{wanted_tokens(model, text_file)}-{ROW_TOKENS}"
    if text_file is not None:
        digest = hashlib.sha256(read_text(text_file).encode()).hexdigest()[:16]
        return f"file-{digest}-{amount}"
    return f"facts-{amount}" if model.name in BUILTIN else f"own-{SEED}-{amount}"


def cache_folder() -> Path:
    """BACKWARD_LENS_CACHE, or a folder in the user's cache."""
    chosen = os.environ.get("BACKWARD_LENS_CACHE")
    if chosen:
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "backward-lens"


def cache_file(model: LanguageModel, layer: int, source: str) -> Path:
    return cache_folder() / f"moments-{fingerprint(model)}-{layer}-{source}.safetensors"


def read_cached(model: LanguageModel, layer: int, source: str) -> Tensor | None:
    """The kept second moment, or None; a damaged file counts as none."""
    try:
        moment = load_file(cache_file(model, layer, source))["moment"]
    except (OSError, SafetensorError, KeyError):
        return None
    fits = moment.shape == (model.d_mlp, model.d_mlp) and moment.dtype == torch.float64
    return moment if fits and torch.isfinite(moment).all() else None


def write_cached(model: LanguageModel, layer: int, source: str, moment: Tensor) -> None:
    """Whole or not at all; a disk that cannot be written only costs the next user the time."""
    path = cache_file(model, layer, source)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with workplace(path.parent, WRITING) as place:
            save_file({"moment": moment}, place / path.name)
            os.replace(place / path.name, path)
    except OSError:
        return
