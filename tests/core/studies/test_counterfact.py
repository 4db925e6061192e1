"""CounterFact files in every form, the good records of bad ones, and the real file."""

import io
import json

import pytest

from core import PromptError, Record, load_counterfact, save_counterfact
from core.studies.counterfact import LONGEST_TEXT, MINI_COUNTERFACT
from tests.conftest import SHARED

REAL = SHARED / "data" / "counterfact" / "counterfact_easyedit_10000.json"

ORIGINAL = {
    "case_id": 7,
    "requested_rewrite": {
        "prompt": "{} grew up in",
        "subject": "Obama",
        "target_new": {"str": "Paris", "id": "Q90"},
        "target_true": {"str": "Hawaii", "id": "Q782"},
    },
    "paraphrase_prompts": ["Obama is from", "Obama comes from"],
    "neighborhood_prompts": ["Trump grew up in"],
}
FLAT = {
    "case_id": 7,
    "prompt": "Obama grew up in",
    "subject": "Obama",
    "target_new": "Paris",
    "ground_truth": "Hawaii",
    "rephrase_prompt": "Obama is from",
    "locality_prompt": "Trump grew up in",
    "locality_ground_truth": "New York",
}
OTHER = FLAT | {"case_id": 8, "prompt": "Yes, Obama lived in", "target_new": "Rome"}


def as_list(*items) -> bytes:
    return json.dumps(items, ensure_ascii=False, indent=2).encode()


def as_lines(*items) -> bytes:
    return b"\n".join(json.dumps(item).encode() for item in items)


def load(content: bytes, name: str = "a file"):
    return load_counterfact(io.BytesIO(content), name=name)


def without(item: dict, name: str) -> dict:
    return {key: value for key, value in item.items() if key != name}


def rewrite(**changes) -> dict:
    return ORIGINAL | {"requested_rewrite": ORIGINAL["requested_rewrite"] | changes}


@pytest.mark.parametrize("form", [as_list, as_lines])
def test_the_original_schema(form):
    (record,) = load(form(ORIGINAL))
    assert record == Record(
        case_id=7,
        prompt="Obama grew up in",
        subject="Obama",
        target_new="Paris",
        target_true="Hawaii",
        paraphrases=("Obama is from", "Obama comes from"),
        neighbours=("Trump grew up in",),
        target_id=ORIGINAL["requested_rewrite"]["target_new"]["id"],
    )


def test_what_the_benchmark_needs_is_read_and_kept(tmp_path):
    relation = {"relation_id": "P19", "target_new": {"str": "Paris", "id": "Q90"}}
    item = rewrite(**relation) | {"generation_prompts": ["Obama lives in", 3, "Obama's home is"]}
    records = load(as_list(item, ORIGINAL | {"case_id": 8}))
    assert records[0].generation_prompts == ("Obama lives in", "Obama's home is")
    assert (records[0].relation, records[0].target_id) == ("P19", "Q90")
    save_counterfact(records, tmp_path / "kept.jsonl")
    again = load_counterfact(tmp_path / "kept.jsonl")
    assert again.records == records.records
    assert again.digest == records.digest


@pytest.mark.parametrize("relation", [None, 3, "P" * 500, ["P19"]])
def test_a_relation_that_is_no_name_is_none(relation):
    (record,) = load(as_list(rewrite(relation_id=relation)))
    assert record.relation == ""


@pytest.mark.parametrize("form", [as_list, as_lines])
def test_easyedits_schema(form):
    (record,) = load(form(FLAT))
    assert record == Record(
        case_id=7,
        prompt="Obama grew up in",
        subject="Obama",
        target_new="Paris",
        target_true="Hawaii",
        paraphrases=("Obama is from",),
        neighbours=("Trump grew up in",),
    )


def test_both_schemas_may_stand_in_one_file():
    records = load(as_lines(ORIGINAL, OTHER))
    assert [record.case_id for record in records] == [7, 8]
    assert len(records) == 2
    assert records[1].target_new == "Rome"
    assert records.skipped == ()


def test_the_built_in_records():
    records = load_counterfact(MINI_COUNTERFACT)
    raw = json.loads(MINI_COUNTERFACT.read_text())
    assert records.name == "mini_counterfact.json"
    assert len(records) == len(raw)
    assert records.skipped == ()
    for record, item in zip(records, raw, strict=True):
        wanted = item["requested_rewrite"]
        assert record.case_id == item["case_id"]
        assert record.prompt == wanted["prompt"].format(wanted["subject"])
        assert record.target_new == wanted["target_new"]["str"]
        assert record.target_true == wanted["target_true"]["str"]
        assert list(record.neighbours) == item["neighborhood_prompts"]


def test_the_real_file_is_read_whole():
    if not REAL.exists():
        pytest.skip(f"the real CounterFact file is not at {REAL}")
    records = load_counterfact(REAL)
    assert len(records) == 10_000
    assert records.skipped == ()
    assert all(record.subject.strip() in record.prompt for record in records)
    assert records[0].prompt == "The mother tongue of Danielle Darrieux is"


def test_optional_fields_and_case_ids():
    bare = {k: FLAT[k] for k in ("prompt", "subject", "target_new", "ground_truth")}
    odd = bare | {"case_id": "x-1", "rephrase_prompt": [1, "", "Obama is"], "locality_prompt": None}
    endless = [bare | {"case_id": "x" * 201}, bare | {"case_id": 10**300}]
    records = load(as_list(bare, odd, bare | {"case_id": [3]}, *endless))
    assert [record.case_id for record in records] == [0, "x-1", 2, 3, 4]
    assert records[0].paraphrases == records[0].neighbours == ()
    assert records[1].paraphrases == ("Obama is",)


BAD = [
    (without(FLAT, "prompt"), "prompt is missing"),
    (without(FLAT, "subject"), "subject is missing"),
    (without(FLAT, "ground_truth"), "ground_truth is missing"),
    (FLAT | {"target_new": 5}, "target_new is not a text"),
    (FLAT | {"target_new": ""}, "target_new is empty"),
    (FLAT | {"subject": "Trump"}, "'Trump' is not in the prompt"),
    (FLAT | {"prompt": "Obama" + "a" * LONGEST_TEXT}, "has 2,005 characters; at most 2,000"),
    (rewrite(prompt="Obama grew up in"), "does not have one {}"),
    (rewrite(prompt="{} and {}"), "does not have one {}"),
    (rewrite(target_new="Paris"), "target_new is not an object"),
    (rewrite(target_true={"id": "Q1"}), "target_true is missing"),
    (rewrite(subject=None), "subject is missing"),
    (ORIGINAL | {"requested_rewrite": [1]}, "requested_rewrite is not an object"),
    ([1, 2], "it is a list, not an object"),
    ("text", "it is a str, not an object"),
    (None, "not an object"),
]


@pytest.mark.parametrize(("bad", "reason"), BAD)
@pytest.mark.parametrize("form", [as_list, as_lines])
def test_a_bad_record_is_skipped_with_its_index_and_reason(form, bad, reason):
    records = load(form(FLAT, bad, OTHER, bad))
    assert [record.case_id for record in records] == [7, 8]
    assert [index for index, _ in records.skipped] == [1, 3]
    assert all(reason in why for _, why in records.skipped)


def test_a_field_of_spaces_is_empty():
    records = load(as_list(FLAT, FLAT | {"target_new": "  "}))
    assert [index for index, _ in records.skipped] == [1]
    assert "target_new is" in records.skipped[0][1]


def test_a_broken_line_is_skipped_alone():
    lines = as_lines(FLAT) + b"\n\n{broken\n" + as_lines(OTHER) + b"\r\n\xff\xfe\n" + b"[" * 100_000
    records = load(lines)
    assert [record.case_id for record in records] == [7, 8]
    assert [index for index, _ in records.skipped] == [1, 3, 4]
    assert all("not JSON" in why for _, why in records.skipped)


@pytest.mark.parametrize(
    "tail", [b"", b", {broken", b', "\xff"]', b"} ]"], ids=["end", "word", "bytes", "brace"]
)
def test_a_broken_list_keeps_what_came_before(tail):
    whole = as_list(FLAT, OTHER)
    records = load(whole[: whole.rindex(b"]")] + tail)
    assert [record.case_id for record in records] == [7, 8]
    assert records.skipped[0][0] == 2
    assert "broken here" in records.skipped[0][1]


def test_halves_of_characters_are_no_text():
    """JSON can say them; no table and no page can hold them."""
    halves = {"case_id": "\udfff", "rephrase_prompt": ["Obama \ud800", "Obama is"]}
    records = load(json.dumps([FLAT | halves, FLAT | {"target_new": "Par\ud800is"}]).encode())
    assert [record.case_id for record in records] == [0]
    assert records[0].paraphrases == ("Obama is",)
    assert records.skipped == ((1, "its target_new holds half of a character."),)


HOSTILE = {
    "deep": b'{"prompt":' * 50_000,
    "deep list": b"[" * 500_000,
    "a number of 5,000 digits": b'{"case_id": ' + b"9" * 5_000 + b"}",
    "a number of 300,000 digits": b"9" * 300_000,
    "an endless text": b'"' + b"x" * 300_000,
}


@pytest.mark.parametrize("item", HOSTILE)
def test_what_no_reader_could_hold_is_a_sentence_beside_the_good_records(item):
    whole = as_list(FLAT, OTHER)
    in_list = load(whole[: whole.rindex(b"]")] + b"," + HOSTILE[item] + b"]")
    in_lines = load(as_lines(FLAT, OTHER) + b"\n" + HOSTILE[item])
    for records in (in_list, in_lines):
        assert [record.case_id for record in records] == [7, 8]
        ((index, why),) = records.skipped
        assert index == 2
        assert "broken here" in why or "not JSON" in why


@pytest.mark.parametrize("form", [as_list, as_lines])
def test_reading_ends_where_most_of_a_file_is_no_record(form, monkeypatch):
    monkeypatch.setattr("core.studies.counterfact.MOST_SKIPPED", 3)
    records = load(form(FLAT, *[{}] * 5, OTHER))
    assert [record.case_id for record in records] == [7]
    assert [index for index, _ in records.skipped] == [1, 2, 3, 4]
    assert records.skipped[-1][1] == "3 are bad; no more was read."


@pytest.mark.parametrize("form", [as_list, as_lines])
@pytest.mark.parametrize("front", [b"\xef\xbb\xbf", b" \n\r\n\t", b" " * 5000 + b"\n"])
def test_a_byte_order_mark_and_blank_lines_in_front(form, front):
    records = load(front + form(FLAT, OTHER))
    assert [record.case_id for record in records] == [7, 8]
    assert records.skipped == ()


@pytest.mark.parametrize("content", [b"", b" \n", b"[]", b"{}", b"[1, 2]", b"\xef\xbb\xbf", b"x"])
def test_a_file_without_a_record_is_refused(content):
    with pytest.raises(PromptError, match="my file holds no CounterFact record"):
        load(content, "my file")


def test_the_first_problem_is_named():
    with pytest.raises(PromptError, match="first problem: its subject is missing"):
        load(as_list(without(FLAT, "subject"), 3))


@pytest.mark.parametrize("path", ["missing.json", "", "a\0b"])
def test_a_missing_file_is_refused(tmp_path, path):
    with pytest.raises(PromptError, match="cannot be read"):
        load_counterfact(tmp_path / path)


def test_an_open_file_a_path_and_its_text_are_the_same(tmp_path):
    path = tmp_path / "facts.json"
    path.write_bytes(as_list(FLAT, OTHER))
    with path.open("rb") as file:
        file.read(3)
        from_file = load_counterfact(file)
        assert not file.closed
    assert from_file == load_counterfact(path) == load_counterfact(str(path))
    assert from_file.name == "facts.json"
    assert load_counterfact(path, name="mine").name == "mine"


def test_the_digest_is_of_the_records_not_of_the_file():
    digest = load(as_list(FLAT, OTHER)).digest
    assert load(as_lines(FLAT, OTHER)).digest == digest
    assert load(b"\xef\xbb\xbf" + as_list(FLAT, OTHER), "another name").digest == digest
    assert load(as_list(FLAT, 5, OTHER)).digest == digest
    assert load(as_list(OTHER, FLAT)).digest != digest
    assert load(as_list(FLAT)).digest != digest
    assert load(as_list(FLAT, OTHER | {"target_new": "Bern"})).digest != digest
