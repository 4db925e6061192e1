"""My notebook as one file, `.backwardlens`: JSON and edits (safetensors) in a zip.

    notebook.json                 the format, the title, the order of the entries, the texts
    cells/0.json ...              a kept cell each
    edits/<id>.safetensors        the edits that the cells had on

A file may come from anyone. Sizes are checked before anything is unpacked, each value's kind before
it is kept; a chart is taken only if it is one as ours are (app.charts.foreign). Nothing is run.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

from app.notebook.file_cells import cell_from, cell_values, text
from app.notebook.kept import Entry, KeptText, written
from app.notebook.mine import (
    MOST_BYTES,
    MOST_CELLS,
    MOST_TEXTS,
    TEXT_CHARACTERS,
    TITLE_CHARACTERS,
    NotebookError,
    Pages,
    check,
    new_id,
)
from app.settings import EDIT_BYTES
from app.words import megabytes
from core.model.edit_files import damage_is_a_sentence, opened

FORMAT = 1
ENDING = "backwardlens"
CONTENTS = "notebook.json"
CELL_BYTES, CONTENTS_BYTES = 10_000_000, 8_000_000
ALL_BYTES = 120_000_000  # unpacked
MOST_VALUES = 600_000  # of a part in JSON, counted before it is read
MOST_EDITS = 100
NAMES = re.compile(r"notebook\.json|cells/[0-9]{1,3}\.json|edits/[0-9a-f]{16}\.safetensors")
NO_NOTEBOOK = (
    "The file is no notebook, or it is damaged. Choose a file that was saved in My notebook, and "
    "download it again if it was cut off."
)
DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    OSError,
    NotImplementedError,
    RuntimeError,  # a password
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    RecursionError,
    OverflowError,
)


def as_file(pages: Pages) -> bytes:
    """The notebook as a file's content."""
    order, files = [], {}
    for entry in pages.entries:
        if isinstance(entry, KeptText):
            order.append({"text": entry.text})
        else:
            order.append({"cell": len(files)})
            files[f"cells/{len(files)}.json"] = written(cell_values(entry))
    contents = {"format": FORMAT, "title": pages.title, "entries": order}
    files |= {f"edits/{name}.safetensors": content for name, content in pages.edits.items()}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in {CONTENTS: written(contents), **files}.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def from_file(data: bytes) -> Pages:
    """The notebook in a file; raises NotebookError with a sentence for anything else."""
    if len(data) > 2 * MOST_BYTES:
        raise NotebookError(
            f"The file has {megabytes(len(data))}; a notebook has at most "
            f"{megabytes(2 * MOST_BYTES)}. Choose a file that was saved in My notebook."
        )
    with damage_said(), zipfile.ZipFile(io.BytesIO(data)) as archive:
        check_members(archive)
        contents = json_in(archive, CONTENTS, CONTENTS_BYTES)
        if contents["format"] != FORMAT:
            raise NotebookError(
                f"The file has format {str(contents['format'])[:20]}; this version reads format "
                f"{FORMAT}. Open it with the version that wrote it."
            )
        title = text(contents["title"], TITLE_CHARACTERS)
        entries = tuple(entries_in(archive, contents["entries"]))
        pages = Pages(title, entries, dict(edits_in(archive))).with_entries(entries)
    check(pages)
    return pages


@contextmanager
def damage_said() -> Iterator[None]:
    """A hostile file fails in many ways, all for one reason: they become one sentence."""
    try:
        yield
    except NotebookError:
        raise
    except DAMAGE as error:
        raise NotebookError(NO_NOTEBOOK) from error


def check_members(archive: zipfile.ZipFile) -> None:
    members = archive.infolist()
    names = [member.filename for member in members]
    if len(names) > MOST_CELLS + MOST_EDITS + 1 or len(set(names)) < len(names):
        raise ValueError("too many files")
    if not all(NAMES.fullmatch(name) for name in names):
        raise ValueError("a file that is no part of a notebook")
    if sum(member.file_size for member in members) > ALL_BYTES:
        raise NotebookError(f"The notebook would take more than {megabytes(ALL_BYTES)} unpacked.")
    kinds = {member.compress_type for member in members}
    if not kinds <= {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
        raise ValueError("another way to pack")


def content_of(archive: zipfile.ZipFile, name: str, most: int) -> bytes:
    """Not more is unpacked than is allowed, whatever the archive says of its size."""
    with archive.open(name) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise ValueError(f"{name} is too large")
    return content


def json_in(archive: zipfile.ZipFile, name: str, most: int) -> dict:
    content = content_of(archive, name, most)
    if sum(map(content.count, (b",", b"[", b"{"))) > MOST_VALUES:
        raise ValueError(f"{name} has too many values")
    return json.loads(content.decode("utf-8"), parse_constant=refuse)


def refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number")


def entries_in(archive: zipfile.ZipFile, order: list) -> Iterator[Entry]:
    if len(order) > MOST_CELLS + MOST_TEXTS:
        raise ValueError("too many entries")
    seen = set()
    for entry in order:
        if set(entry) == {"text"}:
            yield KeptText(new_id(), text(entry["text"], TEXT_CHARACTERS))
            continue
        number = entry["cell"]
        if type(number) is not int or number in seen:
            raise ValueError("no cell's number")
        seen.add(number)
        yield cell_from(json_in(archive, f"cells/{number}.json", CELL_BYTES))


def edits_in(archive: zipfile.ZipFile) -> Iterator[tuple[str, bytes]]:
    """The files of edits by their ids, each checked as far as it can be without its model."""
    for name in archive.namelist():
        if name.startswith("edits/"):
            content = content_of(archive, name, EDIT_BYTES + 1_000_000)
            known = name.removeprefix("edits/").removesuffix(".safetensors")
            if hashlib.sha256(content).hexdigest()[:16] != known:
                raise ValueError("another edit than its name says")
            with damage_is_a_sentence():
                opened(content, EDIT_BYTES)
            yield known, content
