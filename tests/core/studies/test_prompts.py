"""Tables of prompts in every form that people have them in, and files that are none."""

import csv
import io

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from core import (
    PromptError,
    Record,
    load_counterfact,
    load_prompts,
    prompts_csv,
    prompts_from_rows,
    prompts_from_text,
    prompts_template,
    read_prompts,
    save_counterfact,
)
from core.studies.columns import FIELDS, SYNONYMS, header_columns
from core.studies.counterfact import LONGEST_TEXT
from core.studies.prompt_rows import TITLES
from tests.core.studies.tables import HEAD, MAIN, parts_of, sheet_xml, xlsx, zipped

HEADER = ("Prompt", "Target", "Subject", "True answer", "Group")
ROWS = (
    ("In Paris, people speak", "German", "Paris", "French", "cities"),
    ("Die Hauptstadt von Österreich heißt", "Köln", "Österreich", "Wien", "countries"),
    ('She said "yes", and then', "left", "She", "smiled", "cities"),
)


def read(content: bytes | str, name: str = "mine.csv"):
    data = content.encode() if isinstance(content, str) else content
    return read_prompts(io.BytesIO(data), name=name)


def written(rows, separator: str = ",", code: str = "utf-8", quoting=csv.QUOTE_MINIMAL) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=separator, quoting=quoting).writerows(rows)
    return text.getvalue().encode(code)


def cells(table) -> list[tuple]:
    return [(r.prompt, r.target_new, r.subject, r.target_true, r.group) for r in table.records]


@pytest.mark.parametrize("code", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_every_separator_in_every_encoding(separator, code):
    table = read(written([HEADER, *ROWS], separator, code))
    assert cells(table) == list(ROWS)
    assert [record.case_id for record in table.records] == [2, 3, 4]
    assert table.records.skipped == ()
    assert any("Windows-1252" in note for note in table.notes) == (code == "cp1252")
    assert table.groups == {"cities": 2, "countries": 1}


@pytest.mark.parametrize(
    ("code", "row"),
    [
        ("utf-16-le", ("Müller wohnt in", "Rom")),
        ("cp1251", ("Столица Франции это", "Париж")),
        ("cp1250", ("Hlavní město Česka je", "Řím")),
        ("cp932", ("フランスの首都は", "パリ")),
        ("gb18030", ("法国的首都是", "巴黎")),
    ],
)
def test_encodings_without_a_mark(code, row):
    table = read(written([("Prompt", "Target"), row, row], ";", code))
    assert [cells(table)[0][:2]] == [row]


def test_accents_that_come_late_in_a_file_count():
    rows = [("The dog is", "big")] * 3000 + [("Das Mädchen heißt", "Jürgen")]
    assert cells(read(written(rows, ",", "cp1252")))[-1][:2] == ("Das Mädchen heißt", "Jürgen")


def test_a_workbook():
    table = read(xlsx([HEADER, *ROWS]), "mine.xlsx")
    assert cells(table) == list(ROWS)
    assert [record.case_id for record in table.records] == [2, 3, 4]


def test_row_numbers_are_the_spreadsheets():
    text = (
        '\n\nPrompt,Target\nThe dog is,big\n\n"Two\nlines are",more\n,\nThe cat is,\nThe cow is,x\n'
    )
    table = read(text)
    assert [record.case_id for record in table.records] == [4, 6, 9]
    assert table.records[1].prompt == "Two\nlines are"
    assert table.records.skipped == ((8, "its target is empty."),)
    book = read(xlsx([[], ["", "Prompt", "Target"], [], ["", "The dog is", "big"]], first=3))
    assert [record.case_id for record in book.records] == [6]


def test_cells_of_a_workbook_are_what_its_user_sees():
    day = b'<c r="HERE" s="1"><v>43952</v></c>'
    formula = b'<c r="HERE" t="str"><f>A1</f><v>blue</v></c>'
    failed = b'<c r="HERE" t="e"><v>#N/A</v></c>'
    values = [2020, 0.1 + 0.2, 12345678901, True, day, formula]
    rows = [("The year is", value) for value in values]
    table = read(xlsx([("Prompt", "Target"), *rows, ("The answer is", failed)]))
    seen = ["2020", "0.3", "12345678901", "TRUE", "2020-05-01", "blue"]
    assert [record.target_new for record in table.records] == seen
    assert table.records.skipped == ((8, "its target is empty."),)


def test_shared_texts_of_a_workbook():
    cell = b'<c r="HERE" t="s"><v>0</v></c>'
    parts = parts_of({"S": sheet_xml([("Prompt", "Target"), (cell, "x")])})
    links = parts["xl/_rels/workbook.xml.rels"]
    kind = links.partition('Type="')[2].partition("/worksheet")[0]
    more = f'<Relationship Id="rId9" Type="{kind}/sharedStrings" Target="sharedStrings.xml"/>'
    parts["xl/_rels/workbook.xml.rels"] = links.replace("</Rel", f"{more}</Rel")
    parts["xl/sharedStrings.xml"] = f"{HEAD}<sst {MAIN}><si><t>The dog is</t></si></sst>"
    assert cells(read(zipped(parts)))[0][:2] == ("The dog is", "x")


def test_the_sheet_that_names_prompts_is_read():
    notes = [("To do", "buy milk")]
    table = read(xlsx(notes, [HEADER, ROWS[0]]))
    assert cells(table) == [ROWS[0]]
    assert "2 sheets of the workbook have something in them; “Sheet2” was read." in table.notes
    first = read(xlsx([("The dog is", "old")], [("The dog is", "new")], hidden=["Sheet1"]))
    assert first.records[0].target_new == "new"


@pytest.mark.parametrize(
    ("header", "fields"),
    [
        (("PROMPT ", " Target:"), {"prompt": 0, "target": 1}),
        (("Nr.", "Satz", "Soll sagen"), {"prompt": 1, "target": 2}),
        (("sentence", "target_new", "entity"), {"prompt": 0, "target": 1, "subject": 2}),
        (
            ("Group", "answer", "target", "text"),
            {"prompt": 3, "target": 2, "answer": 1, "group": 0},
        ),
        (("Phrase", "cible", "Réponse"), {"prompt": 0, "target": 1, "answer": 2}),
        (("Sentence", "Answer"), {"prompt": 0, "target": 1}),
        (("Should say (one word)", "Prompt"), {"prompt": 1, "target": 0}),
        (("prompt", "sentence", "Target", "target"), {"prompt": 0, "target": 2}),
        (("subject", "prompt", "target_true", "target_new"), {"prompt": 1, "target": 3}),
    ],
)
def test_headers_in_any_case_and_other_words(header, fields):
    columns = header_columns(header)
    assert fields.items() <= columns.places.items()


@pytest.mark.parametrize("row", [(), ("Prompt",), ("The dog is", "target"), ("Target", "Subject")])
def test_a_header_names_a_prompt_and_a_target(row):
    assert header_columns(row) is None


def test_no_word_is_the_name_of_two_columns():
    words = [word for names in SYNONYMS.values() for word in names]
    assert len(words) == len(set(words))
    assert set(TITLES) == set(FIELDS)
    places = {name: i for i, name in enumerate(FIELDS)}
    assert header_columns(list(TITLES.values())).places == places


def test_columns_of_a_header_that_are_nothing_are_named():
    table = read("Item;Prompt;Target;Notes\n1;The dog is;big;old\n")
    assert cells(table)[0][:2] == ("The dog is", "big")
    assert table.columns.unused == ("Item", "Notes")
    assert "Not used: “Item”, “Notes”." in table.notes


def test_without_a_header_the_columns_are_read_by_their_order():
    table = read(written(ROWS, ";"))
    assert cells(table) == list(ROWS)
    assert [record.case_id for record in table.records] == [1, 2, 3]
    assert not table.columns.named
    assert table.columns.read_as[0] == ("prompt", "column A")
    assert "No row names the columns" in table.notes[0]
    two = read(xlsx([("", "The dog is", "big"), ("", "The cat is", "small")]))
    assert cells(two)[0][:2] == ("The dog is", "big")


def test_commas_in_sentences_break_no_file():
    in_quotes = '"In Paris, people speak",German\n"Yes, no, yes is",maybe\n'
    bare = "In Paris, people speak,German\nYes, no, yes is,maybe\nThe dog is,big\n"
    others = in_quotes.replace('"', "").replace("k,G", "k;G").replace("is,m", "is;m")
    tabs = others.replace(";", "\t")
    wanted = [("In Paris, people speak", "German"), ("Yes, no, yes is", "maybe")]
    for head in ("", "Prompt,Target\n"):
        for text, mark in ((in_quotes, ","), (bare, ","), (others, ";"), (tabs, "\t")):
            table = read(head.replace(",", mark) + text)
            assert [row[:2] for row in cells(table)][:2] == wanted, text
            assert table.records.skipped == ()
    assert any("2 rows have “,” without quotation marks" in note for note in read(bare).notes)


def test_a_row_with_too_many_cells_is_named_and_not_guessed():
    table = read("Prompt,Target\nThe dog is,big\nThe cat,the cow is,small\n")
    ((number, why),) = table.records.skipped
    assert number == 3
    assert "it has 3 cells where 2 were expected. Put quotation marks" in why


def test_quotation_marks_of_pasted_rows_are_characters():
    text = (
        'A 6" pipe is\tlong\nA 5" one is\tshort\n"Hello" is\ta word\n"Never closed\tx\nLast is\ty'
    )
    rows = [row[:2] for row in cells(prompts_from_text(text))]
    assert rows == [
        ('A 6" pipe is', "long"),
        ('A 5" one is', "short"),
        ('"Hello" is', "a word"),
        ('"Never closed', "x"),
        ("Last is", "y"),
    ]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_every_kind_of_line_end(end):
    assert len(read(end.join(["Prompt,Target", "The dog is,big", "The cat is,small"])).records) == 2


def test_the_subject_is_proposed_and_an_answer_may_be_missing():
    (record,) = read("Prompt,Target\nThe capital of France is,Rome\n").records
    assert (record.subject, record.target_true, record.group) == ("France", None, "")
    (record,) = read("Prompt,Target\n… ! is?,Rome\n").records
    assert record.subject == "is"
    (record,) = read("Prompt,Target\n….. !,Rome\n").records
    assert record.subject is None


def test_spaces_around_are_left_out_and_that_is_said():
    table = read("Prompt;Target\nThe dog is ;\u00a0big\nThe cat is;small\n")
    assert cells(table)[0][:2] == ("The dog is", "big")
    assert any(note.startswith("1 row has spaces around") for note in table.notes)


BAD = [
    (("", "x"), "its prompt is empty."),
    (("The dog is", " "), "its target is empty."),
    (("The dog is", "x", "cat"), "The subject 'cat' is not in the prompt."),
    (("a" * (LONGEST_TEXT + 1), "x"), "its prompt has 2,001 characters; at most 2,000."),
    (("The dog is", "x", "", "y" * 3000), "its true answer has 3,000 characters"),
    (("The dog is", "x", "", "", "g" * 201), "its group has 201 characters; at most 200."),
]


@pytest.mark.parametrize(("bad", "reason"), BAD)
@pytest.mark.parametrize("form", [written, lambda rows: xlsx(rows)])
def test_a_bad_row_is_named_and_the_others_go_on(form, bad, reason):
    table = read(form([HEADER, ROWS[0], bad, ROWS[1]]))
    assert cells(table) == [ROWS[0], ROWS[1]]
    ((number, why),) = table.records.skipped
    assert number == 3
    assert why.startswith(reason)


def test_half_a_character_is_no_text():
    """A browser's table can send one."""
    table = prompts_from_rows([(1, ("The \ud800 is", "x")), (2, ("The dog is", "x"))])
    assert table.records.skipped == ((1, "its prompt holds half of a character."),)


def test_no_more_than_so_many_rows_are_read(monkeypatch):
    monkeypatch.setattr("core.studies.prompt_rows.MOST_ROWS", 3)
    monkeypatch.setattr("core.studies.prompts.MOST_ROWS", 3)
    rows = [("The dog is", str(i)) for i in range(9)]
    for content in (written([HEADER[:2], *rows]), xlsx([HEADER[:2], *rows])):
        records = read(content).records
        assert len(records) == 3
        assert records.skipped == ((5, "3 rows were read, and no more."),)
    monkeypatch.setattr("core.studies.prompt_rows.MOST_SKIPPED", 2)
    records = read("Prompt,Target\nThe dog is,big\n,x\n,x\n,x\n").records
    assert records.skipped[-1] == (5, "2 are bad; no more was read.")


def far_apart(first: str, last: str) -> bytes:
    row = '<row r="{}"><c r="{}"><v>1</v></c></row>'
    rows = row.format(1, first) + row.format(last.lstrip("ABCDEFGHIJKLMNOPQRSTUVWXYZ"), last)
    return sheet(rows)


def sheet(rows: str, head: str = HEAD) -> bytes:
    """A workbook whose sheet has this XML for rows."""
    xml = f"{head}<worksheet {MAIN}><sheetData>{rows}</sheetData></worksheet>"
    return zipped(parts_of({"S": xml}))


ENTITIES = '<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa">]>'
HOSTILE = {
    "empty": (b"", "holds no row with a prompt"),
    "only spaces": (b" \n\t\n", "holds no row with a prompt"),
    "one column": (b"The dog is\nThe cat is\n", "has only one column"),
    "a header alone": (b"Prompt,Target\n", "holds no row with a prompt"),
    "only bad rows": (b"Prompt,Target\n,x\nThe dog is,\n", "Row 2: its prompt is empty"),
    "a picture": (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(range(256)), "is no table of text"),
    "zeros": (bytes(10_000), "is no table of text"),
    "a broken mark": (b"\xff\xfea", "is no table of text"),
    "old Excel": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "is an old Excel file"),
    "a PDF": (b"%PDF-1.7 ", "is a PDF"),
    "too large": (b"a,b\n" * 1_400_000, "is larger than 5 MB"),
    "no archive": (b"PK\x03\x04" + bytes(500), "is no workbook that can be read"),
    "another archive": (zipped({"a.txt": "x"}), "is no workbook that can be read"),
    "a broken sheet": (sheet("<row"), "is no workbook that can be read"),
    "no sheet": (zipped(parts_of({})), "is empty"),
    "an empty sheet": (xlsx([]), "is empty"),
    "a bomb": (zipped(parts_of({"S": " " * 50_000_000})), "unpacks to more than 20 MB"),
    "cells far apart": (far_apart("A1", "XFD1048576"), "It has something in XFD1048576, far"),
    "a place that is none": (far_apart("A1", "A99999999999"), "is no workbook that can be read"),
    "a column that is none": (far_apart("A1", "ZZZZZZ1"), "is no workbook that can be read"),
    "row zero": (far_apart("A1", "A0"), "is no workbook that can be read"),
    "no text of this number": (
        sheet('<row r="1"><c r="A1" t="s"><v>99</v></c></row>'),
        "is no workbook that can be read",
    ),
    "cells without a place, far away": (
        sheet('<row r="1048576"><c><v>1</v></c><c r="XFD1048576"/><c><v>1</v></c></row>' * 2),
        "is too large a table",
    ),
    "entities": (sheet("<row/>", ENTITIES), "is no workbook that can be read"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_no_table_of_prompts_gets_a_sentence(name):
    content, sentence = HOSTILE[name]
    with pytest.raises(PromptError) as caught:
        read(content, "my file")
    assert str(caught.value).startswith("my file ")
    assert sentence in str(caught.value)


def test_a_format_down_to_the_last_row_is_no_cell():
    """Who colours a whole column has a million cells with nothing in them."""
    rows = sheet_xml([HEADER, *ROWS]).replace(
        "</sheetData>", '<row r="1048576"><c r="XFD1048576" s="1"/></row></sheetData>'
    )
    assert cells(read(zipped(parts_of({"S": rows})))) == list(ROWS)


@pytest.mark.parametrize("path", ["missing.csv", "", "a\0b"])
def test_a_missing_file_is_refused(tmp_path, path):
    with pytest.raises(PromptError, match="cannot be read"):
        load_prompts(tmp_path / path)


def test_paths_and_open_files(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_bytes(prompts_template())
    with path.open("rb") as file:
        assert load_prompts(file) == load_prompts(path) == load_prompts(str(path))
    assert load_prompts(path).name == "mine.csv"
    facts = tmp_path / "facts.jsonl"
    save_counterfact(load_prompts(path), facts)
    assert load_prompts(facts).records == load_counterfact(facts).records


def test_the_template_has_two_groups_and_is_read_again():
    table = read(prompts_template())
    assert prompts_template().startswith(b"\xef\xbb\xbfPrompt,Target,Subject,True answer,Group\r\n")
    assert table.groups == {"capitals": 2, "languages": 1}
    assert table.notes == table.records.skipped == ()
    assert prompts_csv(table.records) == prompts_template()


def test_prompts_without_subject_or_answer_outlive_a_server(tmp_path):
    rows = [("The dog is", "x"), ("… !", "x"), ("The cat is", "x", "cat"), ROWS[0]]
    records = prompts_from_rows(enumerate(rows, 1)).records
    assert records[1].subject is None
    save_counterfact(records, tmp_path / "kept.jsonl")
    again = load_counterfact(tmp_path / "kept.jsonl")
    assert again.records == records.records
    assert again.digest == records.digest
    assert again.skipped == ()


def test_a_counterfact_file_still_needs_subject_and_answer():
    easy = '{"prompt": "The dog is", "subject": %s, "target_new": "x", "ground_truth": %s%s}'
    for line, reason in (
        (easy % ("null", '"y"', ""), "subject is missing"),
        (easy % ('"dog"', "null", ""), "ground_truth is missing"),
        (easy % ("null", '"y"', ', "group": 5'), "subject is missing"),
        (
            '{"prompt": "A", "target_new": "x", "ground_truth": null, "group": ""}',
            "subject is miss",
        ),
    ):
        with pytest.raises(PromptError, match=reason):
            load_counterfact(io.BytesIO(line.encode()))
    (record,) = load_counterfact(io.BytesIO((easy % ("null", "null", ', "group": "a"')).encode()))
    assert record == Record(0, "The dog is", None, "x", None, group="a")


TEXTS = some.text(
    some.characters(exclude_categories=("Cs", "Cc", "Zl", "Zp"), exclude_characters="\ufffe\uffff"),
    min_size=1,
    max_size=30,
).filter(lambda text: text.strip() == text != "" and not text.startswith("\ufeff"))
TABLES = some.lists(
    some.tuples(TEXTS, TEXTS, some.none(), some.none() | TEXTS, some.just("") | TEXTS), min_size=1
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(rows=TABLES, separator=some.sampled_from([",", ";", "\t"]), code=some.sampled_from([8, 16]))
def test_any_table_is_read_as_it_was_written(rows, separator, code):
    content = written([HEADER, *rows], separator, f"utf-{code}", csv.QUOTE_ALL)
    for table in (read(content), read(xlsx([HEADER, *rows]))):
        assert table.records.skipped == ()
        for found, row in zip(cells(table), rows, strict=True):
            assert (found[0], found[1], found[3], found[4]) == (row[0], row[1], row[3], row[4])
            assert found[2] is None or found[2] in found[0]
    assert cells(read(prompts_csv(table.records))) == cells(table)
