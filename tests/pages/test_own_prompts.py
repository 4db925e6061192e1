"""Prompts of one's own on the page for studies: from a file, pasted, or typed into a table."""

import pytest
from pandas.testing import assert_frame_equal
from streamlit.testing.v1 import AppTest

from app.cells.own_preview import SHOWN_PROBLEMS
from app.cells.own_prompts import BASE, ROWS, SAVED_AS
from app.shell.navigation import STUDY
from app.shell.study_jobs import STUDIES
from app.workshop import limits
from tests.core.studies.tables import xlsx
from tests.pages.test_pages import after, charts, open_page
from tests.pages.test_pages import texts as escaped

PAGE = "many_prompts"
HEADER = ("Satz", "Soll sagen", "Subjekt", "Antwort", "Gruppe")
ROW = ("The capital of France is", "Rome", "France", "Paris", "French")
OTHER = ("The capital of Germany is", "Madrid", "Germany", "Berlin", "German")


def texts(at: AppTest) -> str:
    return escaped(at).replace("\\", "")


def own(way: str = "file", **query: str) -> AppTest:
    """The page with one's own prompts chosen."""
    at = open_page(PAGE, **query)
    at.segmented_control(key="records_source").set_value("upload").run()
    return at if way == "file" else at.segmented_control(key="own_way").set_value(way).run()


def csv_of(*rows: tuple[str, ...], separator: str = ";") -> bytes:
    return "\n".join(separator.join(row) for row in rows).encode()


def upload(at: AppTest, content: bytes, name: str = "mine.csv") -> AppTest:
    return at.file_uploader(key="records_file").set_value((name, content, "text/csv")).run()


def paste(at: AppTest, text: str) -> AppTest:
    return at.text_area(key="own_text").set_value(text).run()


def typed(at: AppTest, *rows: tuple[str, ...]) -> AppTest:
    """Rows written into the table's first lines."""
    names = ["Prompt", "Target", "Subject", "True answer", "Group"]
    cells = {i: dict(zip(names, row, strict=False)) for i, row in enumerate(rows)}
    at.session_state[ROWS] = {"edited_rows": cells, "added_rows": [], "deleted_rows": []}
    return at.run()


def studied(at: AppTest) -> AppTest:
    at.button(key="start_study").click().run()
    return after(at, STUDY)


@pytest.mark.parametrize("name", ["mine.csv", "mine.xlsx"])
def test_a_spreadsheet_becomes_a_study_whose_code_reads_it(name, tmp_path, monkeypatch):
    rows = [HEADER, *[ROW, OTHER] * 3]
    content = xlsx(rows) if name == "mine.xlsx" else csv_of(*rows)
    at = upload(own(), content, name)
    assert not at.exception
    assert "6 prompts in 2 groups: French (3) and German (3)." in texts(at)
    assert "Prompt = “Satz”, Target = “Soll sagen”, Subject = “Subjekt”" in texts(at)
    preview = at.dataframe[0].value
    assert list(preview["Row"]) == [2, 3, 4, 5, 6]
    assert tuple(preview.iloc[0, 1:]) == ROW
    assert "… and 1 more." in texts(at)
    assert at.number_input(key="study_limit_6").value == 6
    at = studied(at)
    assert not at.exception
    (study,) = at.session_state[STUDIES].values()
    assert study.header.counted == 6
    assert study.header.records == name
    assert len(charts(at)) >= 5
    code = next(block.value for block in at.code if "load_prompts" in block.value)
    (tmp_path / name).write_bytes(content)
    monkeypatch.chdir(tmp_path)
    scope: dict = {}
    exec(code, scope)
    assert scope["result"].header.digest == study.header.digest
    made, shown = (s.norms[["n", "norm"]] for s in (scope["result"], study))
    assert_frame_equal(made, shown, rtol=1e-3)  # in other batches: not to the last bit


def test_bad_rows_are_named_with_their_reasons():
    bad = ("The dog is", "", "", "", "")
    at = upload(own(), csv_of(HEADER, ROW, bad, ("", "x", "", "", ""), bad))
    assert "3 rows cannot be used and are skipped." in at.warning[0].value
    assert "- Rows 3 and 5: its target is empty." in texts(at)
    assert "- Row 4: its prompt is empty." in texts(at)
    at = upload(own(), csv_of(HEADER, ROW, *[bad] * 14))
    assert "14 rows cannot be used" in at.warning[0].value
    assert f"- and {14 - SHOWN_PROBLEMS} more" in texts(at)


def test_what_the_model_cannot_use_is_said():
    long = ("word " * 200 + "is", "Rome", "", "", "")
    several = ("The capital of Spain is", "Donaudampfschifffahrt", "", "", "")
    at = upload(own(), csv_of(HEADER, ROW, long, several))
    assert "1 prompt is too long for Tiny GPT-2 and will be left out: row 3." in texts(at)
    assert "1 prompt has a target of several tokens for Tiny GPT-2; only the first" in texts(at)
    assert "row 4." in texts(at)


def test_a_file_that_is_no_table_gets_a_sentence():
    for content, said in (
        (b"", "mine.csv holds no row with a prompt."),
        (b"\x89PNG\r\n\0\0", "mine.csv is no table of text."),
        (b"PK\x03\x04nothing", "mine.csv is no workbook that can be read."),
        (b"only one column\nof text\n", "mine.csv has only one column."),
    ):
        at = upload(own(), content)
        assert not at.exception
        assert said in at.error[0].value.replace("\\", "")
        assert not [button for button in at.button if button.key == "start_study"]


def test_a_file_that_is_removed_is_forgotten_and_one_that_is_left_is_not():
    at = upload(own(), csv_of(HEADER, ROW))
    at.switch_page("../pages/start.py").run()
    at.switch_page(f"../pages/{PAGE}.py").run()
    assert "1 prompt in 1 group: French (1)." in texts(at)
    upload(at, csv_of(HEADER, ROW, OTHER))
    assert "2 prompts in 2 groups" in texts(at)
    at.file_uploader(key="records_file").set_value([]).run()
    assert "2 prompts" not in texts(at)
    assert not at.exception


def test_pasted_rows_outlive_a_visit_to_another_page():
    at = own("paste")
    assert not [button for button in at.button if button.key == "start_study"]
    paste(at, csv_of(ROW, OTHER, separator="\t").decode())
    assert "2 prompts in 2 groups: French (1) and German (1)." in texts(at)
    assert "No row names the columns" in texts(at)
    at.switch_page("../pages/start.py").run()
    at.switch_page(f"../pages/{PAGE}.py").run()
    assert at.text_area(key="own_text").value.startswith("The capital of France is\tRome")
    assert "2 prompts in 2 groups" in texts(at)
    (study,) = studied(at).session_state[STUDIES].values()
    assert study.header.counted == 2
    assert study.header.records == SAVED_AS


def test_a_bad_paste_keeps_what_was_pasted():
    at = paste(own("paste"), "only one column")
    assert "What you pasted has only one column" in at.error[0].value.replace("\\", "")
    assert at.text_area(key="own_text").value == "only one column"
    paste(at, "Prompt,Target\nThe dog is,big\n")
    assert "1 prompt." in texts(at)
    assert not at.error


def test_a_typed_table_outlives_a_visit_to_another_page():
    at = own("table")
    assert not at.exception
    typed(at, ROW, ("The dog is", ""), OTHER)
    assert "2 prompts in 2 groups: French (1) and German (1)." in texts(at)
    assert "- Row 2: its target is empty." in texts(at)
    at.switch_page("../pages/start.py").run()
    at.switch_page(f"../pages/{PAGE}.py").run()
    assert not at.exception
    assert at.session_state[BASE][:3] == [
        list(ROW),
        ["The dog is", "", "", "", ""],
        list(OTHER),
    ]
    assert "2 prompts in 2 groups" in texts(at)
    (study,) = studied(at).session_state[STUDIES].values()
    assert study.header.counted == 2


def test_a_row_that_is_being_typed_is_no_error():
    at = typed(own("table"), ("The dog is",))
    assert not at.error
    assert "Your table holds no prompt that can be used. Row 1: its target is empty." in texts(at)


def test_the_example_fills_the_empty_table():
    at = own("table")
    at.button(key="fill_own").click().run()
    assert "3 prompts in 2 groups: capitals (2) and languages (1)." in texts(at)
    assert at.button(key="fill_own").disabled
    assert not at.exception


def test_a_long_table_says_how_much_of_it_is_used(monkeypatch):
    monkeypatch.setattr("app.cells.own_prompts.MOST_TYPED", 2)
    at = typed(own("table"), ROW, OTHER, ROW)
    assert "The table has 3 rows; the first 2 are used." in at.warning[0].value
    assert "2 prompts" in texts(at)


def test_a_workshops_limit_holds_for_ones_own(monkeypatch):
    monkeypatch.setattr(limits, "study_records", lambda: 3)
    at = upload(own(), csv_of(HEADER, *[ROW] * 8))
    assert at.number_input(key="study_limit_3").max == 3


def test_a_link_opens_the_form_again():
    at = open_page(PAGE, records_source="Your own prompts", own_way="Paste rows")
    assert at.segmented_control(key="own_way").value == "paste"
    assert at.text_area(key="own_text")
    form = next(e for e in at.expander if e.label.startswith("Choose prompts"))
    assert form.proto.expanded


def test_names_from_a_file_are_shown_as_text():
    name = "**bold** <b>x</b> :material/home:"
    at = upload(own(), csv_of(("Prompt", "Target", "Group", name), (*ROW[:2], name, "x")))
    shown = "".join(m.value for m in at.markdown)
    assert "**bold**" not in shown.replace("\\*", "")
    assert "\\<b\\>" in shown


def test_counterfacts_json_is_still_read():
    fact = b'{"prompt": "A dog is", "subject": "dog", "target_new": "x", "ground_truth": "y"}'
    at = upload(own(), b"[" + fact + b"]", "facts.json")
    assert "facts.json: 1 records." in texts(at)
