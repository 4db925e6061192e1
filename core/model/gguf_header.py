"""What a GGUF file says of itself, read with bounds before anything is allocated.

A file may come from anywhere. Nothing here believes a count or a length that the file itself could
not hold, and nothing is read but the header. The format: a magic, counts, key-value pairs, the
tensors' names, shapes, types and places, then the tensors (github.com/ggml-org/ggml, docs/gguf.md).
"""

from __future__ import annotations

import mmap
import re
import struct
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path

from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

from core.errors import ModelError

MAGIC = b"GGUF"
VERSIONS = (2, 3)
MOST_KEYS, MOST_TENSORS = 5_000, 50_000
LONGEST_STRING = 1_000_000  # a chat template is the longest; tokens are a few characters
MOST_VALUES = 64  # of a list of numbers that is kept; of longer lists and of texts, the length
NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q"}
NUMBERS |= {12: "d"}
STRING, ARRAY = 8, 9


@dataclass(frozen=True)
class Source:
    """Where a model's weights come from, when that is a file that rounds them."""

    file: str
    kind: str  # the type of most weights, such as Q4_1
    bits: int

    @property
    def words(self) -> str:
        return f"{self.bits}-bit file"


@dataclass(frozen=True)
class GgufTensor:
    """One tensor of the file: its shape in torch's order, and where its bytes are."""

    name: str
    shape: tuple[int, ...]
    kind: GGMLQuantizationType
    start: int  # from the beginning of the file
    size: int  # bytes


@dataclass(frozen=True)
class GgufHeader:
    """A checked header. `values` holds numbers and texts; of a long list its length alone."""

    path: Path
    values: Mapping[str, object]
    tensors: Mapping[str, GgufTensor]
    size: int  # of the file, in bytes

    @property
    def architecture(self) -> str:
        return str(self.values.get("general.architecture", "unknown"))

    def value(self, key: str, default: object = None) -> object:
        """A value of the architecture's own, such as "block_count"."""
        return self.values.get(f"{self.architecture}.{key}", default)

    @property
    def parameters(self) -> int:
        return sum(prod(tensor.shape) for tensor in self.tensors.values())

    @property
    def main_kind(self) -> GGMLQuantizationType:
        """The type of most of its weights."""
        share: Counter = Counter()
        for tensor in self.tensors.values():
            share[tensor.kind] += prod(tensor.shape)
        return share.most_common(1)[0][0]


def is_gguf(path: Path) -> bool:
    """Whether a file begins as a GGUF file does, whatever it is called."""
    try:
        return begins_as_gguf(path)
    except OSError:
        return False


def begins_as_gguf(path: Path) -> bool:
    """Like `is_gguf`; raises OSError. A file without a size, as the system's own are, is not
    opened: some of those never end, and some keep a reader waiting."""
    if path.stat().st_size < len(MAGIC):
        return False
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def read_header(path: Path) -> GgufHeader:
    """The header of a GGUF file; raises ModelError for anything that is none or is not whole."""
    try:
        if not begins_as_gguf(path):
            raise ModelError(
                f"{path.name!r} is not a GGUF file: it does not begin with the letters GGUF. "
                "Choose a .gguf file, or a folder with safetensors weights."
            )
        with (
            path.open("rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data,
        ):
            return _parse(path, data)
    except _Damaged as damage:
        raise ModelError(
            f"The GGUF file {path.name!r} is damaged or incomplete: {damage}. Download it again."
        ) from None
    except OSError as error:
        raise ModelError(
            f"The file {path.name!r} cannot be read ({error.strerror}). Check its permissions."
        ) from None


class _Damaged(Exception):  # noqa: N818 - turned into a ModelError with the file's name
    """What is wrong with the file, as half a sentence."""


class _Reader:
    """Reads numbers and texts one after the other, and never past the end of the file."""

    def __init__(self, data: mmap.mmap) -> None:
        self.data, self.place = data, len(MAGIC)

    def skip(self, size: int) -> int:
        """Go on by `size` bytes; the place before."""
        before, after = self.place, self.place + size
        if after > len(self.data):
            raise _Damaged("it ends within its header")
        self.place = after
        return before

    def numbers(self, form: str, count: int = 1) -> tuple:
        size = struct.calcsize(f"<{form}") * count
        return struct.unpack_from(f"<{count}{form}", self.data, self.skip(size))

    def number(self, form: str) -> int | float:
        return self.numbers(form)[0]

    def text(self) -> str:
        length = self.number("Q")
        if length > LONGEST_STRING:
            raise _Damaged("a text in its header is impossibly long")
        start = self.skip(length)
        try:
            return self.data[start : start + length].decode("utf-8")
        except UnicodeDecodeError:
            raise _Damaged("a text in its header is no text") from None

    def value(self, kind: int) -> object:
        if kind in NUMBERS:
            return self.number(NUMBERS[kind])
        if kind == STRING:
            return self.text()
        if kind != ARRAY:
            raise _Damaged(f"its header holds a value of unknown type {kind}")
        inner, count = self.numbers("I")[0], self.number("Q")
        if inner in NUMBERS:
            form = NUMBERS[inner]
            if count <= MOST_VALUES:
                return self.numbers(form, count)
            self.skip(struct.calcsize(f"<{form}") * count)
            return count
        if inner != STRING or count > len(self.data) // 8:
            raise _Damaged("a list in its header is impossibly long or of unknown type")
        for _ in range(count):
            length = self.number("Q")
            if length > LONGEST_STRING:
                raise _Damaged("a text in its header is impossibly long")
            self.skip(length)
        return count


def _parse(path: Path, data: mmap.mmap) -> GgufHeader:
    reader = _Reader(data)
    version = reader.number("I")
    if version not in VERSIONS:
        foreign = version & 0xFFFF == 0  # the same number, its bytes the other way round
        raise ModelError(
            f"The GGUF file {path.name!r} is "
            + ("written for processors of another kind" if foreign else f"of version {version}")
            + "; versions 2 and 3 for ordinary computers are read. Choose another file."
        )
    tensor_count, key_count = reader.numbers("Q", 2)
    if key_count > MOST_KEYS or not 0 < tensor_count <= MOST_TENSORS:
        raise _Damaged(f"it claims {tensor_count:,} weights and {key_count:,} settings")
    values: dict[str, object] = {}
    for _ in range(key_count):
        key, kind = reader.text(), reader.number("I")
        if key in values:
            raise _Damaged(f"it has {key[:80]!r} twice")
        values[key] = reader.value(kind)
    places = [_tensor(reader) for _ in range(tensor_count)]
    alignment = values.get("general.alignment", 32)
    if not isinstance(alignment, int) or alignment < 1 or alignment & (alignment - 1):
        raise _Damaged("its alignment is no power of two")
    start = -(-reader.place // alignment) * alignment
    tensors = {name: _placed(start, *rest, len(data)) for name, *rest in places}
    if len(tensors) < len(places):
        raise _Damaged("it has a weight twice")
    tensors = {name: GgufTensor(name, *rest) for name, rest in tensors.items()}
    return GgufHeader(path, values, tensors, len(data))


def _tensor(reader: _Reader) -> tuple[str, tuple[int, ...], int, int]:
    """Name, shape, type and offset, as the file has them."""
    name, dimensions = reader.text(), reader.number("I")
    if not 1 <= dimensions <= 4 or len(name) > 200:
        raise _Damaged("a weight in its list has no possible shape")
    shape = tuple(reversed(reader.numbers("Q", dimensions)))
    return name, shape, reader.number("I"), reader.number("Q")


def _placed(
    start: int, shape: tuple[int, ...], kind: int, offset: int, end: int
) -> tuple[tuple[int, ...], GGMLQuantizationType, int, int]:
    """Shape, type, start and size of a tensor that lies within the file."""
    try:
        kind = GGMLQuantizationType(kind)
    except ValueError:
        raise ModelError(
            f"This GGUF file holds weights of a type that is not known here ({kind}). Choose a "
            "file of another quantization, such as Q4_K_M or Q8_0."
        ) from None
    elements, (block, block_size) = prod(shape), GGML_QUANT_SIZES[kind]
    if elements == 0 or shape[-1] % block:
        raise _Damaged("a weight in its list has no possible shape")
    size = elements // block * block_size
    if start + offset + size > end:
        raise _Damaged("it ends before its last weights")
    return shape, kind, start + offset, size


def bits(kind: GGMLQuantizationType) -> int:
    """Bits a weight, as people call them: 4 for Q4_K, 16 for BF16."""
    digits = re.search(r"\d+", kind.name)
    return int(digits[0]) if digits else 32
