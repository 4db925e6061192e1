"""Where the operator named folders, a visitor can name no path outside of them, by any way in.

Every file that Python opens or lists during a visit is seen (an audit hook); what other code could
open besides would be a model, and none may be loaded.
"""

import json
import os
import shutil
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from safetensors.torch import load_file
from streamlit.proto.WidgetStates_pb2 import WidgetState
from streamlit.testing.v1 import AppTest
from streamlit.testing.v1.element_tree import Selectbox

import core
from app.settings import record_files
from app.shell import ledger
from app.shell.models import OTHER, load, loaded, refusal
from app.work.sessions import JOBS
from core.model.catalog import BUILTIN_FOLDER
from tests.conftest import PROMPT, TARGET, random_network, tokenizer_of
from tests.gguf_files import write_gguf

MAIN = Path(__file__).resolve().parents[2] / "app" / "main.py"
touched: list[str] = []  # what was opened and listed, as long as a test watches
watching = False


def see(event: str, arguments: tuple) -> None:
    if watching and event in ("open", "os.listdir", "os.scandir"):
        touched.append(os.fsdecode(arguments[0]) if not isinstance(arguments[0], int) else "")


sys.addaudithook(see)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder that is allowed, one that is secret, each with models, and links between them."""
    place = tmp_path_factory.mktemp("place").resolve()
    allowed, secret = place / "allowed", place / "secret"
    for folder in (allowed / "mine", secret, secret / "model", place / "C:\\secret"):
        shutil.copytree(BUILTIN_FOLDER / "tiny-gpt2", folder)
    network = random_network("llama", 4096, layers=2).eval()
    write_gguf(secret / "secret.gguf", network, tokenizer_of("tiny-gpt2"))
    (allowed / "link").symlink_to(secret)
    (allowed / "relative").symlink_to("../secret")
    (allowed / "far").symlink_to(allowed / "link")
    (allowed / "link.gguf").symlink_to(secret / "secret.gguf")
    (allowed / "circle").symlink_to(allowed / "circle")
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        folder = shutil.copytree(allowed / "mine", allowed / f"linked-{name}")
        (folder / name).unlink()
        (folder / name).symlink_to(secret / name)
    indexed = shutil.copytree(allowed / "mine", allowed / "indexed")
    weights = load_file(indexed / "model.safetensors")
    (indexed / "model.safetensors").rename(indexed / "model-00001-of-00002.safetensors")
    index = {"weight_map": dict.fromkeys(weights, "../../secret/model.safetensors")}
    (indexed / "model.safetensors.index.json").write_text(json.dumps(index))
    yield place
    loaded.clear()


@pytest.fixture(autouse=True)
def _server(place, monkeypatch) -> Iterator[None]:
    """The server works in the folder beside, as if the secret were under its own."""
    global watching
    monkeypatch.setenv("BACKWARD_LENS_FOLDERS", str(place / "allowed"))
    monkeypatch.setenv("BACKWARD_LENS_DOWNLOADS", "off")
    monkeypatch.setenv("HOME", str(place))
    monkeypatch.chdir(place)
    touched.clear()
    watching = True
    yield
    watching = False


def opened(**query: str) -> AppTest:
    at = AppTest.from_file(MAIN, default_timeout=60)
    at.query_params.update({"prompt": PROMPT, "target": TARGET} | query)
    return at.run()


def by_link(name: str) -> AppTest:
    return opened(model=name)


@cache
def typing_session() -> AppTest:
    """One session into which all names are typed, one after the other."""
    at = opened(model="tiny-gpt2")
    return at.selectbox(key="model_choice").set_value(OTHER).run()


def by_field(name: str) -> AppTest:
    at = typing_session()
    at.text_input(key="other_model").set_value(name)
    return at.run()


def secrets(place: Path) -> list[str]:
    return [path for path in touched if str(place / "secret") in os.path.realpath(path)]


# What names the secret folder, or a file in it, or might on some system.
OUTSIDE = {
    "absolute": "{place}/secret",
    "a file": "{place}/secret/secret.gguf",
    "up": "{place}/allowed/../secret",
    "up and down": "{place}/allowed/mine/../../secret/./",
    "slashes": "{place}//allowed///..//secret//",
    "two slashes": "/{place}/secret",
    "relative": "secret",
    "relative with a dot": "./secret",
    "relative up": "allowed/../secret",
    "like a name on the hub": "secret/model",
    "a relative file": "secret/secret.gguf",
    "home": "~/secret",
    "somebody's home": "~root",
    "a link": "{place}/allowed/link",
    "a relative link": "{place}/allowed/relative",
    "a link to a link": "{place}/allowed/far",
    "within a link": "{place}/allowed/link/model",
    "a link to a file": "{place}/allowed/link.gguf",
    "a link in circles": "{place}/allowed/circle",
    "a precision": "{place}/secret@int8",
    "a link with a precision": "{place}/allowed/link@int8",
    "a linked file with a precision": "{place}/allowed/link.gguf@float32",
    "a linked config": "{place}/allowed/linked-config.json",
    "linked weights": "{place}/allowed/linked-model.safetensors",
    "a linked tokenizer": "{place}/allowed/linked-tokenizer.json",
    "linked weights with a precision": "{place}/allowed/linked-model.safetensors@bfloat16",
    "an index": "{place}/allowed/indexed",
    "an index with a precision": "{place}/allowed/indexed@int8",
    "an address": "file://{place}/secret",
    "an address of this machine": "file://localhost{place}/secret",
    "a share": "\\\\localhost\\secret",
    "a share with slashes": "//localhost/secret",
    "a drive": "C:\\secret",
    "backslashes": "allowed\\..\\secret",
    "a zero byte": "{place}/allowed\x00/../secret",
    "a zero byte at the end": "{place}/secret\x00",
    "percent signs": "%2e%2e/secret",
    "all in percent signs": "%2Fsecret",
    "wide dots": "{place}/allowed/．．/secret",
    "dots in one": "{place}/allowed/‥/secret",
    "a wide slash": "{place}／secret",
    "spaces": "  {place}/secret \t",
    "a line": "{place}/allowed/mine\n{place}/secret",
    "capitals": "{place}/SECRET",
    "capitals of what is allowed": "{place}/ALLOWED/mine",
    "a name that begins alike": "{place}/allowed-not",
    "the folder above": "{place}",
    "everything": "/",
    "here": ".",
    "of the process": "/proc/self/cwd/secret",
    "of the process's root": "/proc/self/root{place}/secret",
    "a device": "/dev/zero",
    "the process's memory": "/proc/self/mem",
    "a variable": "$HOME/secret",
    "very long": "{place}/" + "secret/" * 2000,
}


@pytest.mark.parametrize("way", [by_link, by_field])
@pytest.mark.parametrize("name", OUTSIDE)
def test_a_path_outside_is_refused_unopened(place, name, way):
    at = way(OUTSIDE[name].format(place=place))
    assert not at.exception
    assert at.session_state["ledger_model"] is None
    said = " ".join(shown.value for shown in at.error)
    assert said.endswith((".", "\\."))
    assert secrets(place) == []


@pytest.mark.parametrize("name", ["{place}/allowed/mine", "allowed/mine", "~/allowed/mine"])
def test_what_is_inside_is_opened(place, name):
    """The test above can fail: the same model is opened, and its files are seen."""
    at = by_link(name.format(place=place))
    assert at.session_state["ledger_model"].n_layers == 8
    assert any(path.startswith(str(place / "allowed")) for path in map(os.path.realpath, touched))


def test_without_the_setting_the_same_names_are_opened(place, monkeypatch):
    monkeypatch.delenv("BACKWARD_LENS_FOLDERS")
    for name in ("absolute", "relative", "a link", "home", "linked weights"):
        assert refusal(OUTSIDE[name].format(place=place)) == ""
    at = by_link(OUTSIDE["a link"].format(place=place))
    assert at.session_state["ledger_model"].n_layers == 8
    assert secrets(place)


@pytest.mark.parametrize("name", ["a link with a precision", "absolute", "linked weights"])
def test_what_loads_a_model_asks_once_more_whether_it_may(place, name):
    with pytest.raises(core.ModelError, match="only where its operator allows it"):
        load(OUTSIDE[name].format(place=place))
    assert secrets(place) == []


@pytest.mark.parametrize("precision", ["/../../secret", "../../secret", "int8/../../secret", 99])
def test_a_precision_is_no_part_of_a_path(place, precision):
    """What a browser would not send, but a program can."""
    at = AppTest.from_file(MAIN, default_timeout=60)
    at.query_params["model"] = str(place / "allowed" / "mine")
    at.session_state["precision_choice"] = precision
    at.run()
    assert not at.exception
    assert at.session_state["precision_choice"] == ""
    assert at.session_state["ledger_model"].name == str(place / "allowed" / "mine")


def test_hub_like_folders_are_not_taken_for_the_hubs(place, monkeypatch):
    """./secret/model is a folder here: its name must not be one of the hub's, and fetched."""
    monkeypatch.setenv("BACKWARD_LENS_DOWNLOADS", "on")
    monkeypatch.setattr(core, "download_model", lambda *_, **__: pytest.fail("fetched"))
    at = by_link("secret/model")
    assert "only where its operator allows it" in at.error[0].value
    assert "download" not in {button.key for button in at.button}


JOB_TOKENS = ["../../secret", "/etc/passwd", "{place}/secret", "%2e%2e", "", "a\x00b", "~"]


@pytest.mark.parametrize("token", JOB_TOKENS)
@pytest.mark.parametrize("slot", ["study", "edit", "precision", "nothing"])
def test_a_links_token_names_no_file(place, token, slot):
    at = opened(model="tiny-gpt2", **{slot: token.format(place=place)})
    assert not at.exception
    assert not at.session_state.get(JOBS)
    assert secrets(place) == []


EVIL_NAMES = [
    "../../evil",
    "/etc/evil",
    "C:\\evil",
    "..",
    ".",
    "~",
    "a\x00b",
    "a/b\\c",
    "\u202egnp.x",
]


@pytest.fixture(scope="module")
def edit() -> core.Edit:
    return core.edit(core.load_model("tiny-gpt2"), PROMPT, TARGET, method="forward-shift")


@pytest.mark.parametrize("name", EVIL_NAMES)
def test_an_edits_name_is_no_path_of_its_download(edit, name):
    at = opened(model="tiny-gpt2")
    at.session_state["ledger"] = [ledger.Entry(edit, name)]
    at.run()
    assert not at.exception
    code = "\n".join(block.value for block in at.code)
    (named,) = {line.split('"')[1] for line in code.splitlines() if "Edit.load" in line}
    assert named.endswith(".safetensors")
    assert not set(named.removesuffix(".safetensors")) & set("/\\.~\x00\u202e:")


def test_an_exported_model_lies_in_the_operators_folder(place, edit, monkeypatch, tmp_path):
    exports = tmp_path / "exports"
    monkeypatch.setenv("BACKWARD_LENS_EXPORTS", str(exports))
    at = opened(model=str(place / "allowed" / ".." / "allowed" / "mine"))
    assert not at.exception
    at.session_state["ledger"] = [ledger.Entry(edit, "../../evil")]
    at.run()
    at.button(key="export_model").click().run()
    assert not at.exception
    assert [folder.parent for folder in exports.iterdir()] == [exports]
    assert not list(tmp_path.glob("*evil*"))


def test_only_files_that_the_operator_offers_are_read_as_records(place, monkeypatch, tmp_path):
    (tmp_path / "facts.json").write_bytes((BUILTIN_FOLDER.parent / "facts.csv").read_bytes())
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "folder.json").mkdir()
    monkeypatch.setenv("BACKWARD_LENS_RECORDS", str(tmp_path))
    assert [file.name for file in record_files()] == ["facts.json"]
    at = opened(model="tiny-gpt2")
    at.switch_page(str(MAIN.parent.parent / "pages" / "many_prompts.py")).run()
    at.segmented_control(key="records_source").set_value("server").run()
    picker = at.selectbox(key="records_server_file")
    assert picker.options == ["facts.json"]
    send = Selectbox._widget_state.fget
    for name in ("../secret/config.json", str(place / "secret" / "config.json"), "notes.txt", ""):

        def forged(box: Selectbox, name: str = name) -> WidgetState:
            """What a browser would not send, but a program can."""
            if box.key != "records_server_file":
                return send(box)
            return WidgetState(id=box.id, string_value=name)

        monkeypatch.setattr(Selectbox, "_widget_state", property(forged))
        at.run()
        assert not at.exception
        assert at.selectbox(key="records_server_file").value == "facts.json"
        assert secrets(place) == []
