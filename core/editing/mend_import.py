"""MEND networks that others published, read from their .pt files without unpickling freely.

Such a file is a pickle: dict(model, opt, lr_opt, val_stats, ...), of which `model` holds the
hyper-network and, as a live object, the GPT-2's configuration. Only tensors are made of it, each
of a size that the model's widths allow; the configuration becomes an object that does nothing.

MEND was trained with a [PAD] row added to GPT-2's embedding, the mean of all rows. It is skipped
here: x and delta of the prompt's tokens depend on it only through the softmax's denominator.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from core.editing.mend_network import LAYERS, MendNetwork, shape_name, site_shapes
from core.errors import EditError
from core.model.fingerprint import fingerprint
from core.model.language_model import LanguageModel

CONFIG = "transformers.models.gpt2.configuration_gpt2.GPT2Config"
MAX_BYTES = 4_000_000_000  # GPT-2 XL's, with the optimizer's moments, are 1.5 GB
MAX_PICKLE = 10_000_000
MOST_ENTRIES = 10_000  # of the archive
MOST_NAMED = 5  # things that a file must not want, in a sentence about it
MOST_MODES = 100
EPSILON = 1e-7  # that is added to the deviations; the published code's
KEY = re.compile(r"(?:mend|gtn)\.\((\d{1,6}), (\d{1,6})\)\.([\w.]{1,60})")
PARTS = ("u", "v", "bias", "mode_shift.weight", "mode_scale.weight")


class Inert:
    """Stands for the configuration of a published file: keeps nothing of what it held."""

    def __setstate__(self, _: object) -> None: ...


@dataclass(frozen=True)
class PublishedShape:
    """The hyper-network for one shape of matrices; D = d_in + d_out.

    Layer l of two: y + relu(scale_m * (u v y + bias) + shift_m), with m the matrix's mode.
    """

    statistics: Mapping[str, Tensor]  # u_mean, u_std (d_in), v_mean, v_std (d_out)
    layers: tuple[
        Mapping[str, Tensor], ...
    ]  # two; PARTS: (D, r), (r, D), (D), (mode, D), (mode, D)


@dataclass(frozen=True)
class Published:
    """What is in a file. A mode is one of the last layers of the model, in ascending order."""

    shapes: Mapping[str, PublishedShape]  # "ff1" and "ff2"
    rates: Mapping[str, Tensor]  # the same: the learning rate of each mode

    @property
    def modes(self) -> int:
        return len(self.rates["ff1"])


def published_network(
    path: str | Path, model: LanguageModel, *, published_order: bool = False
) -> MendNetwork:
    """The published network of a .pt file as one for this model. Raises EditError; see below."""
    published = read_published(path, model.d_model, model.d_mlp, published_order=published_order)
    made = {"imported": Path(path).name, "published_order": published_order}
    return network_for(model, published, made)


def network_for(
    model: LanguageModel, published: Published, made: Mapping[str, object]
) -> MendNetwork:
    """A published network as the one of this model's weights, for its last layers. The statistics
    are those of the end of the training: they stay as they are. Raises EditError."""
    modes, matrices = published.modes, tuple(published.shapes)
    if model.architecture.model_type != "gpt2" or modes > model.n_layers:
        raise EditError(
            f"The file's network edits the last {modes} layers of a GPT-2; {model.name} is a "
            f"{model.architecture.title} of {model.n_layers} layers. Choose another model."
        )
    layers = range(model.n_layers - modes, model.n_layers)
    sites = tuple((matrix, layer) for layer in layers for matrix in matrices)
    rates = [published.rates[matrix][mode] for mode in range(modes) for matrix in matrices]
    tensors = {"alpha": torch.stack(rates)}
    for matrix, shape in zip(matrices, site_shapes(model, sites), strict=False):
        tensors |= named_tensors(shape_name(shape), published.shapes[matrix], modes)
    return MendNetwork(
        model_name=model.name,
        model_fingerprint=fingerprint(model),
        sites=sites,
        shapes=site_shapes(model, sites),
        tensors=tensors,
        epsilon=EPSILON,
        made=made,
    )


def named_tensors(name: str, shape: PublishedShape, modes: int) -> dict[str, Tensor]:
    """A shape's tensors by the names of a MendNetwork; all modes share the statistics."""
    statistics = {
        f"{name}.{kind}_{part}": shape.statistics[f"{side}_{part}"].repeat(modes, 1)
        for kind, side in (("x", "u"), ("delta", "v"))
        for part in ("mean", "std")
    }
    layers = {
        f"{name}.{layer}.{part.removesuffix('.weight')}": shape.layers[layer][part]
        for layer in LAYERS
        for part in PARTS
    }
    return statistics | layers


def read_published(
    path: str | Path, d_model: int, d_mlp: int, *, published_order: bool = False
) -> Published:
    """The hyper-network of a published .pt file for GPT-2s of these widths; its tensors stay on the
    disk until they are used.

    The file's learning rates are in the order of training, FF2's before FF1's in each layer. With
    `published_order` they go to the matrices as in the code of the published tables, which takes
    them in the order of the model's parameters: FF2's for FF1 and the other way round.

    Raises EditError, before anything is made of the file, where it wants more than tensors and a
    GPT-2's configuration; and where it does not fit.
    """
    check_archive(Path(path))
    content = read_tensors_only(Path(path))
    model = content.get("model") if isinstance(content, dict) else None
    if not isinstance(model, dict):
        raise EditError(
            "The file holds no trained MEND: it has no entry “model”. Choose a file such as "
            "mend-10tok-gpt2-xl.pt."
        )
    named = by_shape(model)
    sizes = {"ff1": (d_model, d_mlp), "ff2": (d_mlp, d_model)}
    for size in sizes.values():
        if size not in named:
            found = ", ".join(f"{a} × {b}" for a, b in sorted(named)) or "none"
            raise EditError(
                f"The file has no network for matrices of {size[0]} × {size[1]}, this model's; "
                f"it has: {found}. Choose the model that it was trained for."
            )
    rates = learning_rates(model, published_order)
    shapes = {
        matrix: published_shape(matrix, named[size], *size, modes=len(rates["ff1"]))
        for matrix, size in sizes.items()
    }
    return Published(shapes, rates)


def check_archive(path: Path) -> None:
    """Refuse what is no zip file of a sensible size that `torch.save` could have written."""
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise EditError(
                f"The file is {size / 1e9:.1f} GB large; a published MEND has at most "
                f"{MAX_BYTES / 1e9:g} GB. Choose another file."
            )
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except OSError as error:
        raise EditError(f"The file cannot be read: {error.strerror}. Check the path.") from None
    except (zipfile.BadZipFile, ValueError, NotImplementedError, UnicodeDecodeError):
        raise EditError(
            "The file is no archive that torch.save wrote, or it was cut off. Download it again; "
            "a file of PyTorch before 1.6 must be saved again with a newer one first."
        ) from None
    pickles = [entry.file_size for entry in entries if entry.filename.endswith("data.pkl")]
    packed = any(entry.compress_type != zipfile.ZIP_STORED for entry in entries)
    whole = sum(entry.file_size for entry in entries)
    if (
        len(pickles) != 1
        or pickles[0] > MAX_PICKLE
        or len(entries) > MOST_ENTRIES
        or packed
        or whole > size
    ):
        raise EditError(
            "The file is an archive, but not as torch.save writes it. Choose a published MEND file."
        )


def read_tensors_only(path: Path) -> object:
    """The file's content, of which nothing but tensors and plain values was made."""
    inert = [(Inert, CONFIG)]
    try:
        with torch.serialization.safe_globals(inert):
            wanted = torch.serialization.get_unsafe_globals_in_checkpoint(path)
        if wanted:
            raise EditError(not_wanted(wanted))
        with torch.serialization.safe_globals(inert):
            return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except EditError:
        raise
    except Exception as error:  # a hostile file fails in a hundred ways, all for one reason
        raise EditError(
            "The file cannot be read as tensors: it is damaged, or it is no published MEND. "
            f"Nothing of it was run ({type(error).__name__}). Download it again."
        ) from error


def not_wanted(names: list[str]) -> str:
    shown = ", ".join(ascii(name[:80])[1:-1] for name in sorted(names)[:MOST_NAMED])
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return (
        f"The file wants to load {shown}{more}. A published MEND needs nothing but tensors and a "
        "GPT-2's configuration: the file is refused, and nothing of it was run. Do not open it "
        "elsewhere."
    )


def by_shape(model: Mapping[object, object]) -> dict[tuple[int, int], dict[str, object]]:
    """The entries of `model` by the shape (d_in, d_out) of the matrices that they are for."""
    found: dict[tuple[int, int], dict[str, object]] = {}
    for key, value in model.items():
        match = KEY.fullmatch(key) if isinstance(key, str) else None
        if match:
            found.setdefault((int(match[1]), int(match[2])), {})[match[3]] = value
    return found


def learning_rates(model: Mapping[object, object], published_order: bool) -> dict[str, Tensor]:
    """The learning rate of each mode, by matrix."""
    found = model.get("edit_lrs")
    numbers = isinstance(found, Tensor) and found.dim() == 1
    if not numbers or len(found) % 2 or not 2 <= len(found) <= 2 * MOST_MODES:
        raise EditError(
            "The file's learning rates (“edit_lrs”) are missing, or are not two a layer. Choose a "
            "published MEND file."
        )
    rates = checked("edit_lrs", found, (len(found),)).view(-1, 2)
    first, second = ("ff1", "ff2") if published_order else ("ff2", "ff1")
    return {first: rates[:, 0], second: rates[:, 1]}


def published_shape(
    matrix: str, named: Mapping[str, object], d_in: int, d_out: int, *, modes: int
) -> PublishedShape:
    """The network for one shape, each tensor of the size that it must have."""
    width = d_in + d_out
    sides = {"u": d_in, "v": d_out}
    statistics = {
        f"{side}_{name}": checked(
            f"{matrix}: {side}_{name}", named.get(f"{side}_{name}"), (size,), least=least
        )
        for side, size in sides.items()
        for name, least in (("mean", None), ("std", 0.0))
    }
    layers = []
    for number in LAYERS:
        start = f"mlp.layers.{number}."
        found = {part: named.get(start + part) for part in PARTS}
        rank = found["v"].shape[0] if isinstance(found["v"], Tensor) and found["v"].dim() else 1
        if not 0 < rank <= width:
            raise EditError(f"The file's network has rank {rank}; it must be from 1 to {width}.")
        wanted = ((width, rank), (rank, width), (width,), (modes, width), (modes, width))
        layers.append(
            {
                part: checked(f"{matrix}: {start}{part}", found[part], size)
                for part, size in zip(PARTS, wanted, strict=True)
            }
        )
    if f"mlp.layers.{len(layers)}.u" in named:
        raise EditError("The file's network has more than the two layers of a published one.")
    return PublishedShape(statistics, tuple(layers))


def checked(
    name: str, tensor: object, size: tuple[int, ...], *, least: float | None = None
) -> Tensor:
    """A tensor in float32 of exactly this size, all of it numbers, none below `least`."""
    plain = type(tensor) in (Tensor, torch.nn.Parameter) and tensor.layout == torch.strided
    if not plain or tensor.dtype != torch.float32 or tuple(tensor.shape) != size:
        found = f"{tuple(tensor.shape)}" if isinstance(tensor, Tensor) else "nothing"
        raise EditError(
            f"{name} must be float32 numbers of size {size}; the file has {found[:60]}. Choose a "
            "published MEND file for this model."
        )
    tensor = tensor.detach()
    if tensor.device.type != "cpu" or not bool(torch.isfinite(tensor).all()):
        raise EditError(f"{name} holds values that are not numbers. Download the file again.")
    if least is not None and bool((tensor < least).any()):
        raise EditError(f"{name} holds values below {least:g}. Download the file again.")
    return tensor
