"""A finding's file is read strictly: what is wrong with one gets a sentence naming file and key."""

import json
import logging

import pytest

from app.gallery import shelf
from app.gallery.fields import FindingError, layers
from app.gallery.finding import GALLERY, MOST_BYTES, read_finding
from app.gallery.shelf import after, read_shelf
from app.gallery.stored import read_stored

GOOD = """title = "A question?"
model = "tiny-gpt2"
prompt = "Obama grew up in"
subject = "Obama"
target = "Paris"
page = "backward_lens"
commentary = ["One.", "Two."]

[settings]
backward_words = "both"

[picture]
kind = "backward_lens"
keep = "0-2, 5"

[[claims]]
kind = "answer"
token = " Hawaii"
at_least = 0.5
"""


@pytest.fixture
def written(tmp_path):
    def write(text: str | bytes, name: str = "01-some-words.toml"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def test_a_good_file_says_everything(written):
    finding = read_finding(written(GOOD))
    assert finding.name == "some-words"
    assert finding.commentary == ("One.", "Two.")
    assert finding.picture.values["keep"] == (0, 1, 2, 5)
    assert dict(finding.settings) == {"backward_words": "both"}
    assert dict(finding.claims[0].values) == {"token": " Hawaii", "at_least": 0.5}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('title = "A question?"', "", "01-some-words.toml: “title” is missing"),
        ("title", "titel", "there is no key “titel”. Is “title” meant?"),
        ('"A question?"', "7", "“title” must be a text"),
        ('"A question?"', '" "', "“title” must be a text"),
        ('"A question?"', f'"{"A" * 71}"', "“title” has 71 characters; the limit is 70"),
        ('"tiny-gpt2"', '"http://a.b/model"', "“model” must be one of: tiny-gpt2"),
        ('"tiny-gpt2"', '"/etc"', "“model” must be one of"),
        ('"tiny-gpt2"', '["tiny-gpt2"]', "“model” must be one of"),
        ('"Obama grew up in"', f'"{"a " * 2001}"', "“prompt” has 4,002 characters"),
        ('subject = "Obama"', 'subject = "Merkel"', "“subject” must be a part of the prompt"),
        ('page = "backward_lens"', 'page = "../secret"', "“page” must be one of: "),
        ('page = "backward_lens"', 'page = ""', "“page” must be one of"),
        ('["One.", "Two."]', '["One."]', "“commentary” must be a list of 2 texts"),
        ('["One.", "Two."]', '"One. Two."', "“commentary” must be a list of 2 texts"),
        ('["One.", "Two."]', '["One.", 2]', "“commentary” must be a text"),
        ("backward_words", "prompt", "settings: “prompt” is no setting of a page"),
        ("backward_words", '"a b"', "settings: “a b” is no setting of a page"),
        ('"both"', "[1]", "settings: “backward_words” must be a text, a number"),
        ("[settings]", 'link = ["colour"]\n[settings]', "“link” names “colour”, which is not in"),
        ("[settings]", 'link = "colour"\n[settings]', "“link” must be a list of 1 to 10 texts"),
        ('[settings]\nbackward_words = "both"\n', "", ""),
        ('kind = "backward_lens"', 'kind = "photo"', "picture: “kind” must be one of"),
        ('kind = "backward_lens"', "", "picture: “kind” must be one of"),
        ('keep = "0-2, 5"', "keep = [0]", "picture: “keep” must name layers"),
        ('keep = "0-2, 5"', 'keep = "2-0"', "picture: “keep” must name layers"),
        ('keep = "0-2, 5"', 'keep = "0-99999999999"', "picture: “keep” must name layers"),
        ('keep = "0-2, 5"', "layer = 3", "picture: there is no key “layer”"),
        ('kind = "answer"', 'kind = "exec"', "claim 1: “kind” must be one of: answer"),
        ("at_least = 0.5", "at_least = 5", "claim 1: “at_least” must be a number from 0 to 1"),
        ("at_least = 0.5", "at_least = nan", "“at_least” must be a number"),
        ("at_least = 0.5", "at_least = true", "“at_least” must be a number"),
        ("at_least = 0.5", "", "claim 1: “at_least” is missing"),
        ("[[claims]]", "[claims]", "“claims” must be one [[claims]] or more"),
        ("[picture]", "[[picture]]", "picture must be a table"),
        ("[settings]", "[link", "is no TOML"),
        ("title", "\x00title", "is no TOML"),
    ],
)
def test_a_wrong_file_is_told_by_its_key(written, old, new, said):
    assert old in GOOD
    path = written(GOOD.replace(old, new, 1))
    if not said:
        assert read_finding(path).settings == {}
        return
    with pytest.raises(FindingError) as told:
        read_finding(path)
    assert said in str(told.value)
    assert str(told.value).startswith("01-some-words.toml")
    assert str(told.value)[-1] in ".?"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\xff\xfe", "is no UTF-8 text"),
        (b"#" * (MOST_BYTES + 1), "is larger than 20,000 bytes"),
        (b"a = " + b"[" * 9000 + b"]" * 9000, "is no TOML"),
    ],
)
def test_what_is_no_finding_at_all(written, content, said):
    with pytest.raises(FindingError, match=said):
        read_finding(written(content))


@pytest.mark.parametrize("name", ["rome.toml", "01-Rome.toml", "01-a b.toml", "1-rome.toml"])
def test_a_files_name_is_a_number_and_words(written, name):
    with pytest.raises(FindingError, match="its name must be as in 01-some-words.toml"):
        read_finding(written(GOOD, name))


def test_layers_are_read_as_people_write_them():
    assert layers("0-2, 5") == (0, 1, 2, 5)
    assert layers("7") == (7,)
    for wrong in ("", "a", "-1", "1-", "²", 3):
        with pytest.raises(ValueError, match="must name layers"):
            layers(wrong)


def shipped(name: str):
    return next(GALLERY.glob(f"??-{name}.toml"))


def test_what_was_computed_is_read_as_it_was_written():
    finding = read_finding(shipped("milan"))
    stored = read_stored(finding, shipped("milan").with_suffix(".json"))
    assert stored.text() == shipped("milan").with_suffix(".json").read_text(encoding="utf-8")
    assert stored.tokens == ("Lion", "el", " Messi", " plays", " for")
    assert stored.subject == (0, 1, 2)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "is missing; python -m scripts.make_gallery computes it"),
        ("{", "cannot be read"),
        ("[]", "cannot be read"),
        ('{"table": {"layer": [1], "token": [1, 2]}}', "cannot be read"),
        ('{"table": 3}', "cannot be read"),
        ('{"asked": "x", "table": {}}', "cannot be read"),
        ("[" * 5000, "cannot be read"),
        (" " * 200_001, "is larger than 200,000 bytes"),
        ("other", "is of another prompt or picture"),
    ],
)
def test_what_was_computed_wrongly_is_left_out(tmp_path, content, said):
    finding, path = read_finding(shipped("milan")), tmp_path / "01-milan.json"
    if content == "other":
        kept = json.loads(shipped("milan").with_suffix(".json").read_text(encoding="utf-8"))
        content = json.dumps(kept | {"asked": "0" * 16})
    if content is not None:
        path.write_text(content, encoding="utf-8")
    with pytest.raises(FindingError, match=said):
        read_stored(finding, path)


def test_a_bad_file_is_left_out_and_the_others_are_shown(tmp_path, monkeypatch, caplog):
    for kind in (".toml", ".json"):
        file = shipped("milan").with_suffix(kind)
        (tmp_path / file.name).write_bytes(file.read_bytes())
        (tmp_path / f"99-milan{kind}").write_bytes(file.read_bytes())
    (tmp_path / "02-broken.toml").write_text("title = 3", encoding="utf-8")
    found, problems = read_shelf(tmp_path)
    assert list(found) == ["milan"]
    assert len(problems) == 2
    assert "02-broken.toml: “title” must be a text" in problems[0]
    assert "99-milan.toml: there is another finding of this name" in problems[1]
    monkeypatch.setattr(shelf, "GALLERY", tmp_path)
    shelf.shelf.cache_clear()
    try:
        with caplog.at_level(logging.ERROR):
            assert list(shelf.shelf()) == ["milan"]
    finally:
        shelf.shelf.cache_clear()
    assert "A finding is left out. 02-broken.toml" in caplog.text


def test_next_goes_round():
    names = list(shelf.shelf())
    assert [after(name) for name in names] == [*names[1:], names[0]]
