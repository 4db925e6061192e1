"""The proposed subject: the stored one of a known prompt, else a part of what the user wrote."""

import json
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.shell import state
from app.shell.examples import EXAMPLES
from app.shell.subjects import fact_subjects, known_records, stands_alone, subject_of
from core import load_counterfact
from core.gradients.segments import find_subject
from core.studies.counterfact import MINI_COUNTERFACT

RECORDS = load_counterfact(MINI_COUNTERFACT)
ALPHABET = st.sampled_from([*"aZ9é ßΩ東.,'’-\"\\[](){}*`\n\t\u200b😀", "Paris", "Obama", " of "])


@pytest.fixture
def session(monkeypatch):
    """A session of its own for app.state, without Streamlit."""
    stand_in = SimpleNamespace(session_state={}, query_params={})
    monkeypatch.setattr(state, "st", stand_in)
    return stand_in


def test_every_record_of_the_built_in_file_has_its_own_subject_proposed():
    assert len(RECORDS) == 559
    wrong = [r for r in RECORDS if subject_of(r.prompt) != r.subject]
    assert wrong == []
    assert len(known_records()) == 559


def test_every_other_prompt_of_the_built_in_file_gets_a_part_of_itself():
    items = json.loads(MINI_COUNTERFACT.read_text(encoding="utf-8"))
    names = ("paraphrase_prompts", "neighborhood_prompts", "generation_prompts")
    prompts = [prompt for item in items for name in names for prompt in item.get(name, [])]
    assert len(prompts) > 4000
    bad = [prompt for prompt in prompts if not is_subject(prompt, subject_of(prompt))]
    assert bad == []


def test_most_paraphrases_are_about_their_records_subject():
    pairs = [(text, record.subject) for record in RECORDS for text in record.paraphrases]
    right = sum(subject_of(text) == subject for text, subject in pairs)
    assert right / len(pairs) > 0.95


def test_every_example_of_the_paper_gets_a_part_of_itself():
    for example in EXAMPLES:
        assert is_subject(example.prompt, subject_of(example.prompt))


def is_subject(prompt, subject):
    return bool(subject) and state.subject_problem(prompt, subject) == ""


@given(st.lists(ALPHABET, max_size=12).map("".join))
@settings(max_examples=300, deadline=None)
def test_any_prompt_with_a_word_gets_a_part_of_itself(prompt):
    subject = subject_of(prompt)
    assert subject in prompt
    assert bool(subject) == any(c.isalpha() or c.isdigit() for c in prompt)
    assert not subject or state.subject_problem(prompt, subject) == ""


@given(st.sampled_from(RECORDS.records), st.sampled_from(["", " ", "\n", "  \t"]))
@settings(max_examples=50, deadline=None)
def test_space_around_a_known_prompt_changes_nothing(record, space):
    assert subject_of(space + record.prompt + space) == record.subject


@given(st.sampled_from(sorted(fact_subjects())))
@settings(max_examples=100, deadline=None)
def test_a_known_subject_in_a_new_sentence_is_proposed_or_one_that_holds_it(subject):
    found = subject_of(f"yesterday, they told us about {subject}, again")
    assert subject in found
    assert found in fact_subjects()


def test_a_subject_inside_a_longer_word_does_not_stand_alone():
    subject = min(fact_subjects(), key=len)
    assert stands_alone(f"about {subject}.", subject)
    assert stands_alone(subject, subject)
    assert not stands_alone(f"about {subject}land", subject)
    assert not stands_alone(f"about un{subject}", subject)


@pytest.mark.parametrize("prompt", ["", "   ", "...", "?!"])
def test_a_prompt_without_a_word_has_no_subject(prompt):
    assert subject_of(prompt) == ""


# In the session


def test_a_new_prompt_brings_its_own_subject(session):
    first, second = RECORDS[0], RECORDS[1]
    state.propose_subject(first.prompt)
    assert session.session_state[state.SUBJECT] == first.subject
    state.propose_subject(second.prompt)
    assert session.session_state[state.SUBJECT] == second.subject


def test_what_the_user_has_written_stays(session):
    state.propose_subject(RECORDS[0].prompt)
    session.session_state[state.SUBJECT] = "founded"
    state.propose_subject(RECORDS[0].prompt)
    assert session.session_state[state.SUBJECT] == "founded"
    state.propose_subject(RECORDS[1].prompt)
    assert session.session_state[state.SUBJECT] == "founded"
    state.use_proposed_subject()
    assert session.session_state[state.SUBJECT] == RECORDS[1].subject


def test_an_endless_prompt_is_not_searched_for_subjects(session, monkeypatch):
    monkeypatch.setattr(state, "subject_of", lambda prompt: pytest.fail("searched"))
    state.propose_subject("Obama " * state.PROMPT_CHARACTERS)
    assert session.session_state[state.SUBJECT] == ""


def test_an_emptied_field_gets_the_proposal_again(session):
    state.propose_subject(RECORDS[0].prompt)
    session.session_state[state.SUBJECT] = ""
    state.propose_subject(RECORDS[0].prompt)
    assert session.session_state[state.SUBJECT] == RECORDS[0].subject


@pytest.mark.parametrize(
    ("subject", "problem"),
    [("Jack", ""), (" Jack ", ""), ("", "empty"), ("  ", "empty"), ("jack", "not in the prompt")],
)
def test_a_subject_must_stand_in_the_prompt(subject, problem):
    says = state.subject_problem("Jack Dorsey founded", subject)
    assert problem in says
    assert bool(says) == bool(problem)
    if not problem:
        start, end = find_subject("Jack Dorsey founded", subject)
        assert (start, end) == (0, 4)
