"""The file of a MEND network: safetensors, with one JSON header in its metadata.

This module knows tensors and plain values, not what a network is. A file may come from anyone: its
size, its header and the shape of each tensor are known before a tensor is made. Numbers are kept in
float32 or float16, and read as float32.
"""

from __future__ import annotations

import errno
import json
import math
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as tensor_bytes
from safetensors.torch import save_file as write_tensors
from torch import Tensor

from core.errors import EditError
from core.model.edit_files import DAMAGE, plain, text, whole

FORMAT = 1
KEY = "backward_lens_mend"
MAX_BYTES = 4_000_000_000  # the published one of GPT-2 XL has 0.5 GB
MAX_HEADER = 1_000_000
MAX_RANK = 20_000
KINDS = ("F32", "F16")


def written(
    header: Mapping[str, object], tensors: Mapping[str, Tensor], dtype: torch.dtype
) -> bytes:
    """The content of a file with this header and these tensors, in float32 or float16."""
    return tensor_bytes(*prepared(header, tensors, dtype))


def write(
    path: Path, header: Mapping[str, object], tensors: Mapping[str, Tensor], dtype: torch.dtype
) -> None:
    """`written`, straight into a file: half a gigabyte that lies on the disk is not copied. Raises
    OSError."""
    rows, content = prepared(header, tensors, dtype)
    try:
        write_tensors(rows, path, content)
    except SafetensorError as error:  # which only its text tells from others
        found = re.search(r"os error (\d+)", str(error))
        number = int(found[1]) if found else errno.EIO
        raise OSError(number, os.strerror(number)) from error


def prepared(
    header: Mapping[str, object], tensors: Mapping[str, Tensor], dtype: torch.dtype
) -> tuple[dict[str, Tensor], dict[str, str]]:
    rows = {name: kept(name, part.detach(), dtype).contiguous() for name, part in tensors.items()}
    return rows, {KEY: json.dumps({"format": FORMAT, **header}, ensure_ascii=False)}


def kept(name: str, tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """Steps, means and deviations may be too small for half precision."""
    small = name == "alpha" or name.endswith(("_mean", "_std"))
    return tensor.to(torch.float32 if small else dtype)


@contextmanager
def damage_is_a_sentence(path: Path) -> Iterator[None]:
    """A hostile file fails in many ways, all for one reason: they become one EditError."""
    try:
        yield
    except EditError:
        raise
    except OSError as error:
        reason = error.strerror or "it is no file"
        raise EditError(f"{path.name} cannot be read: {reason}. Check the path.") from None
    except DAMAGE as error:
        raise EditError(
            f"{path.name} is no MEND network, or it is damaged. Train one for this model, or copy "
            "the file again if it was cut off."
        ) from error


def opened(path: Path) -> tuple[dict[str, tuple[int, ...]], dict[str, object]]:
    """The shape of each tensor by its name, and the header; use it in `damage_is_a_sentence`."""
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise EditError(
            f"{path.name} is larger than {MAX_BYTES / 1e9:g} GB, the limit for a MEND network. "
            "Train one of a lower rank."
        )
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= min(MAX_HEADER, size - 8):
            raise ValueError(f"a header of {length} bytes in a file of {size}")
        entries = json.loads(file.read(length))
    header = json.loads(entries.pop("__metadata__")[KEY])
    if header["format"] != FORMAT:
        raise EditError(
            f"{path.name} has format {str(header['format'])[:20]}; this version reads format "
            f"{FORMAT}. Train or import the network again."
        )
    if any(entry["dtype"] not in KINDS for entry in entries.values()):
        raise ValueError("numbers of another kind")
    shapes = {name: tuple(map(whole, entry["shape"])) for name, entry in entries.items()}
    return shapes, checked(header)


def checked(header: Mapping[str, object]) -> dict[str, object]:
    """The header's values, each of its kind: model_name, model_fingerprint (texts), sites (matrix,
    layer), epsilon, made (plain values by name)."""
    epsilon = header["epsilon"]
    if isinstance(epsilon, bool) or not isinstance(epsilon, int | float):
        raise ValueError("no number")
    if not math.isfinite(epsilon) or not 0 <= epsilon <= 1:
        raise ValueError("no sensible number")
    return {
        "model_name": text(header["model_name"]),
        "model_fingerprint": text(header["model_fingerprint"]),
        "sites": tuple((text(matrix), whole(layer)) for matrix, layer in header["sites"]),
        "epsilon": float(epsilon),
        "made": {text(name): plain(value) for name, value in header["made"].items()},
    }


def ranks_of(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, int]:
    """The rank of each hyper-network's layer, "<shape>.<layer>", by the tensors named ".u"."""
    ranks = {
        name.removesuffix(".u"): shape[-1]
        for name, shape in shapes.items()
        if name.endswith(".u") and shape
    }
    if not all(1 <= rank <= MAX_RANK for rank in ranks.values()):
        raise ValueError("no sensible rank")
    return ranks


def read_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors in float32; raises ValueError for values that are not numbers."""
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
    if not all(torch.isfinite(tensor).all() for tensor in tensors.values()):
        raise ValueError("values that are not numbers")
    return tensors
