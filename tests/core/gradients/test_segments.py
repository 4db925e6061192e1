"""Segments over both architectures' tokenizers: each token once, the subject's text covered."""

import re

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from core import SEGMENTS, LanguageModel, PromptError, propose_subject, segment_means, segments
from core.gradients.segments import (
    AFTER,
    BEFORE,
    FIRST,
    FURTHER,
    LAST,
    LAST_OF_SUBJECT,
    MIDDLE,
    find_subject,
    subject_tokens,
)
from tests.conftest import SHARED, random_model, random_network

TOKENIZERS = {"tiny-gpt2": "gpt2", "tiny-llama2": "llama", "gpt2": "gpt2", "llama2": "llama"}
WORDS = ["Obama", "the", "a", "émigré", "Cafe\u0301", "東京", "😀", "👩‍🚀", "🇫🇷", "1984", "3"]
WORDS += ["don't", "L'Été", "(", "...", "-", "!?", "ñandú", "Иван", "ﬁn", "Rome", "Romeo", "مصر"]
SPACES = [" ", " ", " ", "  ", "   ", ", ", "-", ""]


@pytest.fixture(scope="session", params=TOKENIZERS)
def reader(request: pytest.FixtureRequest) -> LanguageModel:
    """A small random model behind each tokenizer."""
    name, kind = request.param, TOKENIZERS[request.param]
    if name.startswith("tiny"):
        return random_model(kind, layers=1, context=2000)
    folder = SHARED / "tokenizers" / name
    if not folder.is_dir():
        pytest.skip(f"the real {name} tokenizer is not in {folder}")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    network = random_network(kind, len(tokenizer), layers=1, context=2000)
    return LanguageModel(network, tokenizer)


@st.composite
def prompts_with_subjects(draw) -> tuple[str, str]:
    """A prompt and one of its spans: some of its words, or any of its characters."""
    letters = st.text("abzABZ019éüßñ.,'-", min_size=1, max_size=6)
    words = draw(st.lists(st.sampled_from(WORDS) | letters, min_size=1, max_size=9))
    if draw(st.booleans()):
        words += draw(st.permutations(words))  # every subject comes twice
    parts = [word + draw(st.sampled_from(SPACES)) for word in words]
    prompt = draw(st.sampled_from(["", "", " ", "  "])) + "".join(parts)
    whole_words = draw(st.booleans())
    pieces = parts if whole_words else prompt
    start = draw(st.integers(0, len(pieces) - 1))
    subject = "".join(pieces[start : draw(st.integers(start + 1, len(pieces)))])
    return (prompt, subject) if subject.strip() else (prompt, words[0])


@settings(max_examples=150, deadline=None)
@given(case=prompts_with_subjects())
def test_every_token_has_one_segment_and_the_subject_is_covered(reader, case):
    prompt, subject = case
    names = segments(reader, prompt, subject)
    n = len(reader.encode(prompt))
    places = [SEGMENTS.index(name) for name in names]
    assert len(names) == n
    assert places == sorted(places)
    assert names[-1] == LAST
    for once in (FIRST, LAST_OF_SUBJECT, AFTER, LAST):
        assert names.count(once) <= 1

    start, end = find_subject(prompt, subject)
    assert prompt[start:end] == subject.strip()
    inside, offsets = subject_tokens(reader, prompt, subject), reader.offsets(prompt)
    covered = {c for i in inside for c in range(*offsets[i])}
    assert {c for c in range(start, end) if not prompt[c].isspace()} <= covered
    for i, (left, right) in enumerate(offsets):
        overlaps = any(start <= c < end for c in range(left, right))
        assert overlaps or i not in inside or left == right
        assert i in inside or not overlaps
        if i < n - 1:
            assert (names[i] in (FIRST, MIDDLE, LAST_OF_SUBJECT)) == (i in inside)
            assert (names[i] == BEFORE) == (i < inside.start)
            assert (names[i] == LAST_OF_SUBJECT) == (i == inside[-1])
            assert (names[i] == AFTER) == (i == inside.stop)
            assert (names[i] == FIRST) == (i == inside.start and len(inside) > 1)


@settings(max_examples=100, deadline=None)
@given(case=prompts_with_subjects())
def test_bos_is_no_part_of_a_subject(reader, case):
    has_bos = reader.architecture.title == "Llama"
    assert (reader.tokenize(case[0])[0] == "<s>") == has_bos
    if has_bos:
        assert segments(reader, *case)[0] == BEFORE
        assert 0 not in subject_tokens(reader, *case)


HAND_MADE = [
    (
        "Yesterday a singer Lionel Messi plays for the club of",
        "Lionel Messi",
        {" singer": BEFORE, " Lionel": FIRST, " Messi": LAST_OF_SUBJECT, " plays": AFTER}
        | {" for": FURTHER, " the": FURTHER, " club": FURTHER, " of": LAST},
    ),
    ("So Obama grew up in", " Obama ", {" Obama": LAST_OF_SUBJECT, " grew": AFTER, " in": LAST}),
    ("It was Obama", "Obama", {" was": BEFORE, " Obama": LAST}),
    ("Here Lionel Messi", "Lionel Messi", {" Lionel": FIRST, " Messi": LAST}),
    (
        "We met Jack Dorsey in the",
        "Jack Dorsey",
        {" Jack": FIRST, " D": MIDDLE, "ors": MIDDLE, "ey": LAST_OF_SUBJECT, " in": AFTER},
    ),
    ("Ferrari Mondial, created by", "Ferrari Mondial", {",": AFTER, " created": FURTHER}),
]


@pytest.mark.parametrize(("prompt", "subject", "expected"), HAND_MADE)
def test_segments_by_hand(model, prompt, subject, expected):
    names = list(zip(model.tokenize(prompt), segments(model, prompt, subject), strict=True))
    assert {token: name for token, name in names if token in expected} == expected


def test_all_segments_of_one_prompt():
    names = segments(random_model("llama"), "We met Jack Dorsey in the", "Jack Dorsey")
    three_before = (BEFORE, BEFORE, BEFORE, BEFORE)  # <s>, We, m, et
    assert names == (*three_before, FIRST, MIDDLE, MIDDLE, LAST_OF_SUBJECT, AFTER, LAST)
    names = segments(random_model("gpt2"), "Obama grew up in", "Obama")
    assert names == (LAST_OF_SUBJECT, AFTER, FURTHER, LAST)
    assert segments(random_model("gpt2"), "Obama", "Obama") == (LAST,)
    assert segments(random_model("llama"), "Obama", "Obama") == (BEFORE, LAST)


def test_a_whole_word_is_preferred_to_a_part_of_a_word():
    assert find_subject("Romeo left Rome for Rome", "Rome") == (11, 15)
    assert find_subject("Romeo left", "Rome") == (0, 4)
    assert find_subject("Obama and Obama", "Obama") == (0, 5)
    assert find_subject("C++ and C are", " C ") == (0, 1)
    assert find_subject("the a.b and axb", "a.b") == (4, 7)


@given(st.text("ab_ .é1", max_size=12), st.text("ab_ .é1", min_size=1, max_size=3))
def test_a_subject_is_found_as_a_whole_word_first(prompt, subject):
    """As a pattern would find it; patterns of any text would be kept in memory."""
    wanted = subject.strip()
    whole = re.search(rf"(?<!\w){re.escape(wanted)}(?!\w)", prompt)
    start = whole.start() if whole else prompt.find(wanted)
    if not wanted or start < 0:
        with pytest.raises(PromptError):
            find_subject(prompt, subject)
    else:
        assert find_subject(prompt, subject) == (start, start + len(wanted))


def test_an_endless_subject_is_named_by_its_beginning():
    with pytest.raises(PromptError) as error:
        find_subject("Obama grew up in", "x" * 100_000)
    assert len(str(error.value)) < 300


@pytest.mark.parametrize("prompt", ["▁", "▁ is a mark", "It is ▁ or ▁", "▁unknown▁ is"])
def test_the_word_mark_itself_may_be_a_subject(reader, prompt):
    """Llama writes a space as ▁; in a prompt it is a character like any other."""
    subject = "▁unknown▁" if "unknown" in prompt else "▁"
    start, end = find_subject(prompt, subject)
    inside, offsets = subject_tokens(reader, prompt, subject), reader.offsets(prompt)
    assert set(range(start, end)) <= {c for i in inside for c in range(*offsets[i])}
    assert len(segments(reader, prompt, subject)) == len(offsets)


@pytest.mark.parametrize("subject", ["", "  "])
def test_an_empty_subject_is_refused(model, subject):
    with pytest.raises(PromptError, match="subject is empty"):
        segments(model, "Obama grew up in", subject)


def test_a_subject_that_is_not_there_is_refused(model):
    with pytest.raises(PromptError, match="'obama' is not in the prompt"):
        segments(model, "Obama grew up in", "obama")
    with pytest.raises(PromptError, match="'Obama' is not in the prompt"):
        segments(model, "", "Obama")


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("Obama grew up in", "Obama"),
        ("Jack Dorsey founded", "Jack Dorsey"),
        ("The mother tongue of Danielle Darrieux is", "Danielle Darrieux"),
        ("The Bank of England is in", "The Bank of England"),
        ("Ferrari Mondial, created by", "Ferrari Mondial"),
        ("The singer lived with Windows 95 in", "Windows 95"),
        ("in 1984 the city of Rome.", "Rome"),
        ("the cat sat on", "the"),
        ("Émile Zola wrote", "Émile Zola"),
        ("Anna met Bert, who", "Bert"),
        ("... !", ""),
        ("", ""),
    ],
)
def test_proposed_subjects(prompt, expected):
    assert propose_subject(prompt) == expected


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60) | prompts_with_subjects().map(lambda case: case[0]))
def test_a_proposed_subject_is_in_the_prompt(prompt):
    subject = propose_subject(prompt)
    assert subject in prompt
    assert subject == subject.strip()
    if any(c.isascii() and c.isalpha() for c in prompt):
        assert subject


def test_segment_means_by_hand():
    table = pd.DataFrame(
        {
            "layer": [0] * 4 + [1] * 4,
            "position": [0, 1, 2, 3] * 2,
            "token": list("abcd") * 2,
            "norm": [1.0, 2.0, 6.0, 5.0, 1.0, float("nan"), 3.0, 4.0],
            "rank": pd.array([10, 20, pd.NA, 40, 1, 2, 3, pd.NA], dtype="Int64"),
        }
    )
    table.attrs["note"] = "a note"
    means = segment_means(table, (BEFORE, MIDDLE, MIDDLE, LAST))
    assert means["layer"].tolist() == [0, 0, 0, 1, 1, 1]
    assert means["token"].tolist() == [BEFORE, MIDDLE, LAST] * 2
    assert means["position"].tolist() == [0, 2, 6] * 2
    assert means["tokens"].tolist() == [1, 2, 1] * 2
    assert means["norm"].tolist() == [1, 4, 5, 1, 3, 4]
    assert means["rank"].tolist() == [10, 20, 40, 1, 2.5, pd.NA]
    assert means.attrs["note"] == "a note"
