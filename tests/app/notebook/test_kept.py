"""What a kept cell holds, what it asked, and the notebook that holds it."""

from threading import Thread

import pandas as pd
import pytest

from app.charts.palette import RAMPS
from app.notebook.about import about, edits_line, summary
from app.notebook.asked import Asked, asked_in
from app.notebook.keep import edits_in
from app.notebook.kept import KeptText, columns_of, frame, unpacked
from app.notebook.mine import MOST_TEXTS, Notebook, NotebookError, Pages
from tests.app.notebook.cells import kept_cell, kept_edit, made_edit

CODE = """from core import Edit, forward_lens, load_model

model = load_model("gpt2", dtype="int8")
prompt, target = "He said \\"no\\" ü", "Paris"
subject = "He"
edits = [Edit.load("a.safetensors", model), Edit.load("b.safetensors", model)]
table = forward_lens(model, prompt, target, edits=edits)"""


def test_what_a_cell_asked_is_read_from_its_code():
    assert asked_in(CODE) == Asked("gpt2", "int8", 'He said "no" ü', "Paris", "He", ("a", "b"))
    assert asked_in('prompt = "x"\nprompt = "y"') == Asked(prompt="x")
    for nothing in ("", "def", "\0", "(" * 1000, "prompt = f(1)", "prompt, target = both"):
        assert asked_in(nothing) == Asked()


def test_code_that_is_read_is_never_run():
    assert asked_in("prompt = __import__('os').abort()") == Asked()


@pytest.mark.parametrize("dark", [False, True])
def test_a_picture_is_kept_in_both_themes_whichever_was_seen(dark):
    (chart,) = kept_cell(dark=dark).charts
    for theme in (False, True):
        spec, is_dark = chart.spec(dark=theme)
        colours = spec["layer"][0]["encoding"]["color"]["scale"]["range"]
        assert is_dark == theme
        assert colours == list(RAMPS["probability"][theme])
    light, night = unpacked(chart.light), unpacked(chart.dark)
    inks = [next(iter(spec["datasets"].values()))["ink"] for spec in (light, night)]
    assert inks[0] != inks[1]  # chosen for the shade below, in each theme


def test_a_table_is_kept_in_plain_values():
    table = pd.DataFrame(
        {"a": [1, 2], "b": [0.5, float("nan")], "c": [["x"], []], "d": pd.array([1, None], "Int64")}
    )
    kept = columns_of(table)
    assert kept == {"a": [1, 2], "b": [0.5, None], "c": [["x"], []], "d": [1, None]}
    pd.testing.assert_frame_equal(frame(kept)[["a", "b", "c"]], table[["a", "b", "c"]])


def test_edits_are_those_that_the_code_names():
    cell = kept_cell(edits=(kept_edit()[0],))
    assert list(edits_in(cell.code, [made_edit()])) == [made_edit()]
    assert list(edits_in(kept_cell().code, [made_edit()])) == []
    said = dict(about(cell, {made_edit().id}))
    assert said["Edits"] == "“Obama & <Paris>”"
    assert "not in the notebook" in edits_line(cell, ())
    assert summary(cell).startswith("Tiny GPT-2 · “Obama grew up in” → “Paris” · ")


def test_a_time_that_is_none_is_said():
    cell = kept_cell()
    object.__setattr__(cell, "made", "yesterday")
    assert dict(about(cell, ()))["Kept"] == "at an unknown time"


@pytest.fixture
def mine(monkeypatch) -> Notebook:
    monkeypatch.setattr("app.notebook.mine.claim", lambda *_: None)
    made = Notebook()
    edit, content = kept_edit()
    made.keep(kept_cell(), {})
    made.keep(kept_cell(edits=(edit,)), {edit.id: content})
    return made


def test_an_edit_goes_with_the_last_cell_that_needs_it_and_comes_back(mine):
    edit, content = kept_edit()
    second = mine.pages.entries[1].id
    assert mine.size > len(content)
    mine.remove(second)
    assert mine.pages.edits == {}
    mine.write(None)
    mine.undo()
    assert [type(entry).__name__ for entry in mine.pages.entries] == [
        "KeptText", "KeptCell", "KeptCell"
    ]  # fmt: skip
    assert mine.pages.edits == {edit.id: content}
    mine.undo()  # nothing is left to bring back
    assert len(mine.pages.entries) == 3


def test_what_was_replaced_and_what_replaced_it_are_exchanged(mine):
    old = mine.pages
    mine.replace_by(Pages("Other", (KeptText("a", "text"),)))
    mine.set_text("a", "more")
    mine.undo()
    assert mine.pages == old
    mine.undo()
    assert mine.pages.entries == (KeptText("a", "more"),)


def test_entries_move_within_their_ends(mine):
    first, second = (entry.id for entry in mine.pages.entries)
    mine.move(first, -1)
    mine.move(second, 1)
    mine.move("nobody", 1)
    assert [entry.id for entry in mine.pages.entries] == [first, second]
    mine.move(first, 1)
    assert [entry.id for entry in mine.pages.entries] == [second, first]


def test_limits_are_sentences_and_change_nothing(mine, monkeypatch):
    before = mine.pages
    monkeypatch.setattr("app.notebook.mine.MOST_BYTES", before.size)
    with pytest.raises(NotebookError, match="it may take"):
        mine.keep(kept_cell(prompt="The capital of France is"), {})
    assert mine.pages == before
    texts = tuple(KeptText(str(i), "") for i in range(MOST_TEXTS + 1))
    with pytest.raises(NotebookError, match="texts"):
        mine.add(Pages("", texts))
    assert mine.pages == before


def test_two_tabs_that_change_it_at_once_lose_nothing(mine):
    tabs = [Thread(target=lambda: [mine.write(None) for _ in range(20)]) for _ in range(4)]
    for tab in tabs:
        tab.start()
    for tab in tabs:
        tab.join()
    assert len(mine.pages.entries) == 2 + MOST_TEXTS
    assert len({entry.id for entry in mine.pages.entries}) == 2 + MOST_TEXTS
