"""A class's answers: bounded, kept over a restart, and a file that no spreadsheet computes."""

import csv
import io
import os
import stat

import pytest

from app.notebook.csv import as_csv
from app.workshop import answers, store
from app.workshop.__main__ import main
from app.workshop.answers import (
    COLUMNS,
    Answer,
    Answers,
    as_table,
    file_of,
    names,
    progress_table,
    safe,
)
from app.workshop.plan import plan


def given(i: int = 0, who: str = "a", **more) -> Answer:
    rest = {"name": "Ana", "unit": "1-expect", "kind": "check", "answer": f"word {i}"} | more
    return Answer(1e9 + i, who, **rest)


def rows(kept: Answers) -> list[dict[str, str]]:
    text = as_csv(as_table(kept.all())).decode("utf-8-sig")
    return list(csv.DictReader(io.StringIO(text)))


def test_columns_and_their_texts():
    kept = Answers(None)
    where = {"model": "tiny-gpt2", "prompt": "Obama grew up in", "target": "Paris"}
    kept.add(given(right=False, **where))
    kept.add(given(1, right=True, answer="Hawaii", **where))
    kept.add(given(2, "b", name="", kind="thought", answer="two\nlines, and “quotes”"))
    first, second, third = rows(kept)
    assert tuple(first) == COLUMNS
    assert first["time"] == "2001-09-09 01:46:40"
    assert [first["right"], second["right"], third["right"]] == ["not yet", "yes", ""]
    assert [second[k] for k in ("name", "answer", "model", "prompt", "target", "person")] == [
        "Ana",
        "Hawaii",
        "tiny-gpt2",
        "Obama grew up in",
        "Paris",
        "1",
    ]
    assert third["name"] == "participant 2"
    assert third["answer"] == "two\nlines, and “quotes”"


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1", "@SUM(A1)", " =1", "\t=1", "\rx", "＝1", '=cmd|"/C calc"!A0']
)
def test_what_a_spreadsheet_would_compute_begins_with_an_apostrophe(text):
    assert safe(text) == f"'{text}"
    kept = Answers(None)
    kept.add(given(name=text, answer=text, prompt=text, target=text, model=text, unit=text))
    (row,) = rows(kept)
    for column in ("name", "unit", "answer", "model", "prompt", "target"):
        assert row[column].lstrip("\n").startswith("'"), column


@pytest.mark.parametrize("text", ["Hawaii", "a=b", "3", "", "'quoted'", "é+"])
def test_other_texts_are_as_they_were(text):
    assert safe(text) == text


def test_a_text_is_kept_once_and_every_try_is():
    kept = Answers(None)
    for i in range(3):
        kept.add(given(i))
        kept.add(given(i, kind="thought"))
        kept.add(given(i, kind="before", unit=""))
    assert sorted(a.kind for a in kept.all()) == ["before", "check", "check", "check", "thought"]
    assert {a.answer for a in kept.all() if a.kind == "thought"} == {"word 2"}


def test_bounds_hold_for_one_and_for_all(monkeypatch):
    monkeypatch.setattr(answers, "MOST_OF_ONE", 5)
    monkeypatch.setattr(answers, "MOST_ANSWERS", 12)
    kept = Answers(None)
    kept.add(given(0, "quiet"))
    for i in range(50):
        kept.add(given(i, "loud"))
    assert [a.answer for a in kept.all() if a.who == "loud"] == [f"word {i}" for i in range(45, 50)]
    assert any(a.who == "quiet" for a in kept.all())
    for i in range(50):
        kept.add(given(100 + i, f"w{i}"))
    assert len(kept.all()) == 12


def test_a_restart_keeps_them_and_damage_costs_a_line(tmp_path):
    file = tmp_path / "workshops" / "abc.answers.jsonl"
    kept = Answers(file)
    kept.add(given(0))
    kept.add(given(1, right=True, answer="ä\u2028“"))
    assert stat.S_IMODE(os.stat(file).st_mode) == 0o600
    with file.open("a", encoding="utf-8") as end:
        end.write('{"time": "x"}\nnothing\n[1]\n{"time": 1, "who": 2}\n' + "[" * 5000 + "\n")
    again = Answers(file)
    assert again.all() == kept.all()
    again.add(given(2))
    assert len(Answers(file).all()) == 3
    file.write_bytes(b"\xff\xfe")
    assert Answers(file).all() == []


def test_the_file_is_written_anew_before_it_grows_without_end(tmp_path, monkeypatch):
    monkeypatch.setattr(answers, "MOST_ANSWERS", 10)
    file = tmp_path / "abc.answers.jsonl"
    kept = Answers(file)
    for i in range(95):
        kept.add(given(i))
        assert len(file.read_text(encoding="utf-8").splitlines()) <= 20
    assert Answers(file).all() == kept.all()
    assert os.listdir(tmp_path) == ["abc.answers.jsonl"]


def test_a_folder_that_cannot_be_written_loses_nothing_in_memory(tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    kept = Answers(tmp_path / "file" / "abc.answers.jsonl")
    kept.add(given())
    assert len(kept.all()) == 1


def test_names_tell_people_apart():
    people = [given(0, "a"), given(1, "b"), given(2, "c", name="Bo"), given(3, "d", name="")]
    assert list(names(people).values()) == ["Ana (1)", "Ana (2)", "Bo", "participant 4"]
    later = [*people, given(4, "d", name="Dee"), given(5, "c", name="")]
    assert names(later)["d"] == "Dee"
    assert names(later)["c"] == "Bo"


def test_who_has_done_what():
    kept = [
        given(0, "a", right=False),
        given(1, "a", right=True),
        given(2, "a", right=False),
        given(3, "a", unit="2-learn", kind="thought"),
        given(4, "b", name="Bo", unit="gone", right=True),
    ]
    table = progress_table(kept, {"1-expect": "1 Expect", "2-learn": "2 Learn"})
    assert table.to_dict("list") == {
        "Name": ["Ana", "Bo"],
        "1 Expect": ["✓", ""],
        "2 Learn": ["…", ""],
    }


def test_the_operator_fetches_them_when_the_workshop_is_over(capsys):
    made, *_ = plan(0.0, 1.0, "Lens")
    store.save(made)
    Answers(file_of(made.id)).add(given(answer="=1+1"))
    assert main(["answers", made.id]) == 0
    (row,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert row["answer"] == "'=1+1"
    assert len(store.every()) == 1, "the answers' file is no workshop"
    with pytest.raises(SystemExit, match="There is no workshop “zzz”"):
        main(["answers", "zzz"])
