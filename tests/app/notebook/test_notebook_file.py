"""My notebook as a file: what was kept comes back, and a hostile file is a sentence."""

import io
import json
import zipfile
from dataclasses import replace

import pytest

import core
from app.notebook.file import as_file, from_file
from app.notebook.kept import KeptCell, KeptText, unpacked
from app.notebook.mine import MOST_CELLS, NotebookError, Pages
from tests.app.notebook.cells import kept_cell, kept_edit
from tests.fuzz.damage import zipped


@pytest.fixture(scope="module")
def pages() -> Pages:
    edit, content = kept_edit()
    return Pages(
        "Où naît-on? 🙂",
        (kept_cell(), KeptText("a", "# Why\n*because*"), kept_cell(edits=(edit,))),
        {edit.id: content},
    )


def files_of(pages: Pages) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(as_file(pages))) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_what_was_kept_comes_back(pages):
    back = from_file(as_file(pages))
    assert (back.title, back.edits) == (pages.title, pages.edits)
    assert [type(e) for e in back.entries] == [KeptCell, KeptText, KeptCell]
    for old, new in zip(pages.cells, back.cells, strict=True):
        assert new.shows[:2] == old.shows[:2]
        assert new.columns == old.columns
        assert (new.asked, new.settings, new.edits) == (old.asked, old.settings, old.edits)
        assert (new.words, new.path, new.made) == (old.words, old.path, old.made)
        for mine, its in zip(old.charts, new.charts, strict=True):
            assert unpacked(its.light) == unpacked(mine.light)
            assert unpacked(its.dark) == unpacked(mine.dark)
    model = core.load_model("tiny-gpt2")
    assert core.edit_from_bytes(next(iter(back.edits.values())), model).target == "Paris"


def test_edits_that_no_cell_names_are_left_out(pages):
    back = from_file(as_file(replace(pages, entries=pages.entries[:1])))
    assert back.edits == {}


def changed(pages: Pages, name: str, **values: object) -> bytes:
    files = files_of(pages)
    files[name] = json.dumps(json.loads(files[name]) | values).encode()
    return zipped(files)


CELL, BOOK = "cells/0.json", "notebook.json"
WRONG = {
    "another format": (BOOK, {"format": 2}),
    "a title that is none": (BOOK, {"title": ["x"]}),
    "half a character": (BOOK, {"title": "\ud800"}),
    "an endless title": (BOOK, {"title": "x" * 10_000}),
    "no list": (BOOK, {"entries": {"cell": 0}}),
    "a cell that is not there": (BOOK, {"entries": [{"cell": 7}]}),
    "a cell twice": (BOOK, {"entries": [{"cell": 0}, {"cell": 0}]}),
    "a cell by another name": (BOOK, {"entries": [{"cell": "../0"}]}),
    "true is no number": (BOOK, {"entries": [{"cell": True}]}),
    "too many": (BOOK, {"entries": [{"text": "x"}] * 1000}),
    "a key that leaves the page": (CELL, {"key": "../../x"}),
    "code that is none": (CELL, {"code": 1}),
    "columns of different lengths": (CELL, {"table": {"a": [1], "b": []}}),
    "values of a list of lists": (CELL, {"table": {"a": [[[1]]]}}),
    "a number without end": (CELL, {"table": {"a": [1e400]}}),
    "settings that are lists": (CELL, {"settings": {"a": ["b"]}}),
    "a path to elsewhere": (CELL, {"path": "http://elsewhere.invalid"}),
    "an edit that is no id": (CELL, {"edits": [{"id": "../x", "name": "n"}]}),
    "charts of one name": (
        CELL,
        {"charts": [{"name": "a", "alt": "", "fit": True, "light": None, "dark": None}] * 2},
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_value_is_a_sentence(pages, case):
    name, values = WRONG[case]
    with pytest.raises(NotebookError, match=r"\.$"):
        from_file(changed(pages, name, **values))


ZIPS = {
    "a path out of the folder": {"../../notebook.json": b"{}", "notebook.json": b"{}"},
    "an absolute path": {"/etc/passwd": b"", "notebook.json": b"{}"},
    "something to run": {"notebook.json": b"{}", "run.py": b"print(1)"},
    "no contents": {"cells/0.json": b"{}"},
    "a bomb": {"notebook.json": b'{"format": 1, "a": "' + b" " * 50_000_000 + b'"}'},
    "many values": {"notebook.json": b"[" + b"0," * 1_000_000 + b"0]"},
    "depth": {"notebook.json": b"[" * 100_000},
    "no number": {"notebook.json": b'{"format": 1, "title": "", "entries": [NaN]}'},
    "no text": {"notebook.json": b"\xff\xfe\x00"},
    "an edit of another name": {
        "notebook.json": b'{"format": 1, "title": "", "entries": []}',
        "edits/0123456789abcdef.safetensors": b"x",
    },
}


@pytest.mark.parametrize("case", ZIPS)
def test_a_hostile_archive_is_a_sentence(case):
    with pytest.raises(NotebookError, match=r"\.$"):
        from_file(zipped(ZIPS[case]))


@pytest.mark.parametrize("data", [b"", b"PK", b"x" * 1000, bytes(10), b"{}"])
def test_what_is_no_archive_is_a_sentence(data):
    with pytest.raises(NotebookError, match="no notebook"):
        from_file(data)


def test_an_archive_that_lies_about_a_size_unpacks_no_more_than_is_allowed(monkeypatch):
    big = b'{"format": 1, "title": "' + b"a" * 200_000 + b'"}'
    data = bytearray(zipped({"notebook.json": big}))
    place = data.rindex(b"PK\x01\x02")
    data[place + 24 : place + 28] = (10).to_bytes(4, "little")  # its size as the archive says
    with pytest.raises(NotebookError):
        from_file(bytes(data))
    monkeypatch.setattr("app.notebook.file.CONTENTS_BYTES", 1000)
    with pytest.raises(NotebookError):
        from_file(zipped({"notebook.json": big}))


def test_a_chart_from_elsewhere_is_not_drawn_and_the_rest_is_there(pages):
    files = files_of(pages)
    cell = json.loads(files[CELL])
    cell["charts"][0]["light"]["data"] = {"url": "http://elsewhere.invalid/a.csv"}
    files[CELL] = json.dumps(cell).encode()
    back = from_file(zipped(files)).cells[0]
    assert back.charts[0].light is None
    assert back.charts[0].dark is not None
    assert back.columns == pages.cells[0].columns


def test_too_many_cells_are_refused(pages):
    cells = (pages.cells[0],) * (MOST_CELLS + 1)
    with pytest.raises(NotebookError):
        from_file(as_file(Pages("", cells)))
