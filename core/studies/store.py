"""Where a study is kept: files in a folder or in one zip archive, by their names.

In a folder the last file, the header, is replaced last and at once, so that a kill leaves a whole
study: the one before or the one after.
"""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

LARGEST_FILE = 32 * 2**20  # bytes of a file that is read back
PACKED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # others are unpacked at once, however large


def write_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files, the header last, and remove tables of an earlier state."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        fresh = folder / f"{name}.new"
        fresh.write_bytes(content)
        os.replace(fresh, folder / name)
    for old in folder.glob("*.parquet"):
        if old.name not in files:
            old.unlink()


def as_zip(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def reader(source: str | Path | bytes, *, largest: int | None = None) -> Callable[[str], bytes]:
    """A function that reads a file of a study by its name."""
    if not isinstance(source, bytes) and Path(source).is_dir():
        return lambda name: (Path(source) / Path(name).name).read_bytes()
    archive = zipfile.ZipFile(io.BytesIO(source) if isinstance(source, bytes) else source)

    def read(name: str) -> bytes:
        about = archive.getinfo(name)
        if about.file_size > (largest or LARGEST_FILE):
            raise ValueError(f"{name} is too large")
        if about.compress_type not in PACKED:
            raise ValueError(f"{name} is packed in another way")
        return archive.read(name)

    return read
