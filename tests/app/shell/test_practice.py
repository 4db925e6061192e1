"""The facts that a network practises on: many, whole, and none that judge it."""

from app.shell.practice import practice_records
from app.shell.subjects import known_records


def test_they_are_many_and_none_judges_what_practised_on_them():
    records = practice_records()
    assert len(records) > 1000
    kept = {record.subject for record in known_records().values()}
    assert len(kept) > 300
    assert not kept & {record.subject for record in records}
    named = "\n".join(p for r in records for p in (*r.neighbours, *r.paraphrases, r.prompt))
    assert "Jack Dorsey" in kept
    assert "Jack Dorsey" not in named


def test_each_is_a_rewrite_with_other_phrasings_and_other_subjects():
    for record in practice_records():
        assert record.subject in record.prompt
        assert record.target_new != record.target_true
        assert len(set(record.paraphrases) - {record.prompt}) >= 2
        assert all(record.subject in text for text in record.paraphrases)
        assert record.neighbours
        assert record.prompt not in record.neighbours


def test_they_are_the_same_each_time():
    assert practice_records() == practice_records()
