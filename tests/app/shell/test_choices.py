"""What an operator can forbid, how models are named and chosen, and the paper's examples."""

from functools import cache

import pytest

import core
from app.settings import DOWNLOADS as DOWNLOADS_ALLOWED
from app.settings import folder_allowed, record_files
from app.shell.examples import EXAMPLES
from app.shell.models import CARDS, OTHER, default_model, label, refusal
from core.model.catalog import BUILTIN, BUILTIN_FOLDER

FOLDERS, DOWNLOADS = "BACKWARD_LENS_FOLDERS", "BACKWARD_LENS_DOWNLOADS"
RECORDS = "BACKWARD_LENS_RECORDS"
PAPER = {  # prompt: (answer, target)
    "Obama grew up in": ("Hawaii", "Paris"),
    "Jack Dorsey founded": ("Twitter", "IBM"),
    "Lionel Messi plays for": ("Barcelona", "Paris"),
    "Ipod Nano, developed by": ("Apple", "BMW"),
    "Pikachu is a type of": ("Pokémon", "music"),
    "Eddy Cue is employed by": ("Apple", "BBC"),
    "Ferrari Mondial, created by": ("Ferrari", "Nintendo"),
}
NO_PATHS = ["~nosuchuser/model", "/a\0b", "a\0b", "x" * 300, "/" + "x" * 300, "a/" * 3000]


@pytest.fixture(autouse=True)
def no_settings(monkeypatch):
    monkeypatch.delenv(FOLDERS, raising=False)
    monkeypatch.delenv(DOWNLOADS, raising=False)


@pytest.fixture
def root(tmp_path, monkeypatch):
    """The one folder that the operator allows, with a model in it, and others beside it."""
    for folder in ("models/mine", "models-secret", "secret"):
        (tmp_path / folder).mkdir(parents=True)
    monkeypatch.setenv(FOLDERS, str(tmp_path / "models"))
    return tmp_path / "models"


def on_this_machine(monkeypatch, *names):
    monkeypatch.setattr(core, "is_on_this_machine", lambda name: name in names)


# Folders


@pytest.mark.parametrize("folder", ["/", "/etc", "~", ".", "relative/model"])
def test_without_a_setting_any_folder_is_allowed(folder):
    assert folder_allowed(folder)


def test_the_allowed_folder_and_what_is_below_it(root):
    assert folder_allowed(str(root))
    assert folder_allowed(f"{root}/mine")
    assert folder_allowed(f"{root}/not-there-yet")
    assert folder_allowed(f"{root}/mine/../mine")


@pytest.mark.parametrize(
    "outside",
    [
        "{root}/..",
        "{root}/../secret",
        "{root}/mine/../../secret",
        "{root}-secret",  # begins with the same letters
        "/",
        "~",
        ".",
        "relative",
    ],
)
def test_other_folders_are_refused(root, outside):
    assert not folder_allowed(outside.format(root=root))


def test_a_link_out_of_the_allowed_folder_is_refused(root):
    (root / "link").symlink_to(root.parent / "secret")
    assert not folder_allowed(f"{root}/link")
    assert not folder_allowed(f"{root}/link/model")


def test_an_allowed_folder_may_itself_be_a_link(root, monkeypatch):
    (root.parent / "shortcut").symlink_to(root)
    monkeypatch.setenv(FOLDERS, str(root.parent / "shortcut"))
    assert folder_allowed(f"{root}/mine")
    assert folder_allowed(f"{root.parent}/shortcut/mine")


def test_several_folders_and_the_home_folder(root, monkeypatch):
    monkeypatch.setenv("HOME", str(root.parent / "home"))
    monkeypatch.setenv(FOLDERS, f"{root}:~/models")
    assert folder_allowed(f"{root}/mine")
    assert folder_allowed("~/models/mine")
    assert folder_allowed(f"{root.parent}/home/models/mine")
    assert not folder_allowed("~/secret")


def test_an_empty_setting_allows_no_folder(root, monkeypatch):
    for nothing in ("", ":"):
        monkeypatch.setenv(FOLDERS, nothing)
        assert not folder_allowed(str(root))
        assert not folder_allowed(".")


@pytest.mark.parametrize("roots", [None, "/srv/models"])
@pytest.mark.parametrize("name", NO_PATHS, ids=lambda name: ascii(name[:8]))
def test_text_that_can_be_no_path_is_answered_with_a_sentence(name, roots, monkeypatch):
    if roots:
        monkeypatch.setenv(FOLDERS, roots)
    assert isinstance(refusal(name), str)


# Downloads


@pytest.mark.parametrize(
    ("value", "allowed"),
    [
        ("on", True),
        ("1", True),
        ("off", False),
        ("OFF", False),
        ("0", False),
        ("no", False),
        ("false", False),
        (" off ", False),
    ],
)
def test_downloads_can_be_switched_off(monkeypatch, value, allowed):
    assert DOWNLOADS_ALLOWED.value
    monkeypatch.setenv(DOWNLOADS, value)
    assert DOWNLOADS_ALLOWED.value is allowed


# Models


def test_a_folder_is_refused_where_the_operator_forbids_it(root):
    assert refusal(f"{root}/mine") == ""
    assert "only where its operator allows it" in refusal(f"{root}/../secret")
    assert "only where its operator allows it" in refusal(str(BUILTIN_FOLDER / BUILTIN[0]))


def test_folders_are_not_downloads(root, monkeypatch):
    monkeypatch.setenv(DOWNLOADS, "off")
    assert refusal(f"{root}/mine") == ""
    assert refusal(f"{root}/not-there") == ""  # loading says so


@pytest.mark.parametrize("name", ["gpt2", "owner/another-model"])
def test_a_hub_model_is_refused_only_if_absent_with_downloads_off(monkeypatch, name):
    on_this_machine(monkeypatch)
    assert refusal(name) == ""
    monkeypatch.setenv(DOWNLOADS, "off")
    assert "switched downloads off" in refusal(name)
    on_this_machine(monkeypatch, name)
    assert refusal(name) == ""


@pytest.mark.parametrize("name", BUILTIN)
def test_built_in_models_are_never_refused(monkeypatch, name):
    monkeypatch.setenv(DOWNLOADS, "off")
    monkeypatch.setenv(FOLDERS, "")
    assert refusal(name) == ""


@pytest.mark.parametrize(
    ("here", "expected"),
    [
        ((), "tiny-gpt2"),
        (("gpt2-xl",), "gpt2-xl"),
        (("gpt2-medium", "gpt2"), "gpt2"),
        (("gpt2-large", "meta-llama/Llama-2-7b-hf"), "gpt2-large"),
        (("meta-llama/Llama-2-7b-hf",), "tiny-gpt2"),
        (BUILTIN, "tiny-gpt2"),
        ((*BUILTIN, "gpt2-medium"), "gpt2-medium"),
    ],
)
def test_the_default_is_the_smallest_gpt2_that_is_here(monkeypatch, here, expected):
    on_this_machine(monkeypatch, *here)
    assert default_model() == expected


def test_labels_say_size_and_place(monkeypatch):
    on_this_machine(monkeypatch, "gpt2-xl")
    assert label("gpt2") == "GPT-2 small · 548 MB · download"
    assert label("gpt2-xl") == "GPT-2 XL · 6.4 GB · here"
    assert label("tiny-llama2") == "Tiny Llama 2 · 6 MB · built in"
    labels = [label(name) for name in (*CARDS, OTHER)]
    assert len(set(labels)) == len(labels)
    assert max(map(len, labels)) <= 32, "the sidebar's width"


# Examples


@cache
def builtin(name):
    return core.load_model(name)


def test_the_examples_are_the_papers():
    assert {e.prompt: (e.answer, e.target) for e in EXAMPLES} == PAPER
    assert len(EXAMPLES) == len(PAPER)
    assert EXAMPLES[0].label == "Obama grew up in … Hawaii → Paris"


@pytest.mark.parametrize("name", BUILTIN)
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.prompt)
def test_the_built_in_models_know_each_example_and_read_its_target_whole(name, example):
    run = core.trace(builtin(name), example.prompt, example.target)
    assert run.target.tokens == (f" {example.target}",)
    assert run.target.note == ""
    assert run.answer == f" {example.answer}"


# Files that the operator offers


def test_only_record_files_are_offered_in_order(tmp_path, monkeypatch):
    for name in ("b.jsonl", "a.json", "c.txt", ".json"):
        (tmp_path / name).write_text("[]")
    (tmp_path / "d.json").mkdir()
    monkeypatch.setenv(RECORDS, str(tmp_path))
    assert [file.name for file in record_files()] == ["a.json", "b.jsonl"]


@pytest.mark.parametrize("folder", ["", "/no/such/folder", __file__])
def test_a_folder_that_is_none_offers_nothing(folder, monkeypatch):
    monkeypatch.setenv(RECORDS, folder)
    assert record_files() == []


def test_without_the_setting_nothing_is_offered(monkeypatch):
    monkeypatch.delenv(RECORDS, raising=False)
    assert record_files() == []
