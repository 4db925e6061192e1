"""Text made safe for Markdown, and numbers as people say them."""

import re
import string

import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.words import (
    JOINER,
    code_span,
    count,
    duration,
    joined,
    layer_list,
    megabytes,
    named_layers,
    place,
    plain,
    shortened,
    visible,
)

TEXT = st.text(st.one_of(st.sampled_from("`` \n\t*"), st.characters()))


def read_code_span(markdown):
    """Fence and content of inline code, by CommonMark's rules."""
    fence = re.match("`+", markdown).group()
    assert re.search("`+$", markdown).group() == fence
    content = markdown[len(fence) : -len(fence)]
    if content.startswith(" ") and content.endswith(" ") and content.strip(" "):
        content = content[1:-1]
    return fence, content


@pytest.mark.parametrize(
    ("token", "shown"),
    [
        (" Paris", "·Paris"),
        ("two words", "two·words"),
        ("\n", "↵"),
        ("\r\n", "↵↵"),
        ("\t", "⇥"),
        ("\u00a0", "⍽"),
        ("\u200b", "∅"),
        ("", "∅"),
        ("é🙂\\", "é🙂\\"),
        ("\x00\x1b\x85\ud83d\uffff", "\ufffd" * 5),
        ("\u202eevil\u2069", "⇄evil⇄"),
    ],
)
def test_spaces_and_line_breaks_are_seen(token, shown):
    assert visible(token) == shown


@given(TEXT)
def test_visible_text_is_one_line_without_spaces(text):
    assert not set(visible(text)) & set(" \n\r\t\u00a0\u200b")
    assert len(visible(text)) == max(len(text), 1)


@pytest.mark.parametrize(
    ("text", "length", "expected"),
    [("Paris", 5, "Paris"), ("Barcelona", 5, "Barc…"), ("Barcelona", 1, "…"), ("", 3, "")],
)
def test_long_text_ends_in_an_ellipsis(text, length, expected):
    assert shortened(text, length) == expected


@given(TEXT, st.integers(1, 20))
def test_shortened_text_fits_and_keeps_its_beginning(text, length):
    short = shortened(text, length)
    assert len(short) <= length
    assert short == text or text.startswith(short.removesuffix("…"))


@given(TEXT)
@example("`")
@example("``a")
@example("a`")
@example(" ` ")
@example("\n\n# title")
def test_code_span_shows_any_text_letter_by_letter(text):
    markdown = code_span(text)
    fence, content = read_code_span(markdown)
    assert content.replace(JOINER, "") == visible(text).replace(JOINER, "")
    assert len(fence) > max((len(run) for run in re.findall("`+", content)), default=0)
    assert not set(markdown) & set("\n\r")


def test_code_span_by_hand():
    assert code_span(" in") == "`·in`"
    assert code_span("a`b") == "``a`b``"
    assert code_span("``") == "``` `` ```"


@pytest.mark.parametrize("character", string.punctuation)
def test_every_ascii_punctuation_mark_is_escaped(character):
    assert plain(f"a{character}b") == f"a\\{character}b"


def read_plain(markdown):
    """The text of Markdown without any mark-up, by CommonMark's rules."""
    text = re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", markdown)
    assert len(text) == len(markdown) - markdown.count("\\") + text.count("\\")
    return text


# Words of one line, with some of what Streamlit makes into something else.
LINES = st.lists(
    st.one_of(
        st.sampled_from([":smile:", "https://a.com", "->", "--", "www.a.org", "a@b.org", "`", "*"]),
        st.text(st.characters(exclude_categories=["Cc", "Cs", "Cf"])),
    ),
).map(" ".join)


@given(LINES)
def test_plain_adds_backslashes_and_marks_without_width_and_nothing_else(text):
    text = text.strip()
    assert read_plain(plain(text)).replace(JOINER, "") == text
    assert plain("é 9 ·δ🙂 a") == "é 9 ·δ🙂 a"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (":smile: :+1:", ":|smile: :|+1:"),
        (":streamlit:", ":|streamlit:"),
        ("a:material_home:b", "a:|material_home:b"),
        ("http://a.com, HTTPS://a.com", "http:|//a.com, HTTPS:|//a.com"),
        ("www.a.com WWW.a.com", "www|.a.com WWW|.a.com"),
        ("me@a.com", "me@|a.com"),
        ("a -> b <- c <-> d", "a -|> b <|- c <|-> d"),
        ("-- >= <= ~=", "-|- >|= <|= ~|="),
        ("Step 3: p -1, a->b, x@y", "Step 3: p -1, a->b, x@y"),
    ],
)
def test_what_streamlit_would_replace_has_a_mark_without_width_in_it(text, shown):
    assert read_plain(plain(text)) == shown.replace("|", JOINER)


def test_plain_has_no_characters_that_turn_or_break_what_follows():
    assert plain("\u202ea\u2067b\x00\udfff") == "⇄a⇄b\ufffd\ufffd"
    assert plain("    a\n\tb c") == "\u00a0" * 4 + "a\n" + "\u00a0" * 4 + "b c"


def test_code_span_names_no_icon():
    assert code_span("a:material/home:") == f"`a:{JOINER}material/home:`"


@pytest.mark.parametrize(
    ("rank", "vocabulary", "words"),
    [
        (0, 4096, "first of 4,096"),
        (1, 4096, "number 2 of 4,096"),
        (4094, 4096, "number 4,095 of 4,096"),
        (4095, 4096, "last of 4,096"),
        (1233, 50257, "number 1,234 of 50,257"),
    ],
)
def test_place_counts_from_one(rank, vocabulary, words):
    assert place(rank, vocabulary) == words
    assert place(pd.array([rank], dtype="Int64")[0], vocabulary) == words


@pytest.mark.parametrize(
    ("size", "words"),
    [
        (0, "0 MB"),
        (5_600_000, "6 MB"),
        (548_000_000, "548 MB"),
        (1_000_000_000, "1.0 GB"),
        (13_480_000_000, "13.5 GB"),
    ],
)
def test_sizes_are_decimal_megabytes_and_gigabytes(size, words):
    assert megabytes(size) == words


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        ([0], "0"),
        ([3, 4], "3-4"),
        ([0, 2], "0 and 2"),
        ([0, 1, 2, 5], "0-2 and 5"),
        ([0, 1, 3, 5, 6, 7], "0-1, 3 and 5-7"),
    ],
)
def test_layer_list_by_hand(layers, words):
    assert layer_list(layers) == words


@given(st.sets(st.integers(0, 60), min_size=1))
def test_layer_list_names_each_layer_and_no_other(layers):
    named = []
    for part in re.split(", | and ", layer_list(sorted(layers))):
        first, _, last = part.partition("-")
        named += range(int(first), int(last or first) + 1)
    assert named == sorted(layers)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "1 second"),
        (1.2, "1 second"),
        (8, "8 seconds"),
        (60, "60 seconds"),
        (100, "2 minutes"),
        (180, "3 minutes"),
        (3600, "60 minutes"),
    ],
)
def test_durations_as_people_say_them(seconds, words):
    assert duration(seconds) == words


def test_lists_as_people_say_them():
    assert [joined(list(parts)) for parts in ("a", "ab", "abc")] == ["a", "a and b", "a, b and c"]
    assert [named_layers(n) for n in ([3], [2, 0, 1])] == ["layer 3", "layers 0-2"]
    assert [count(n, "token") for n in (0, 1, 2)] == ["0 tokens", "1 token", "2 tokens"]
