"""A cell's code and CSV: what the user takes away is what the page showed."""

import ast
import io
import json
from functools import cache
from types import SimpleNamespace

import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from streamlit.testing.v1 import AppTest

import core
from app.notebook.code import code_lines, literal
from app.notebook.csv import LIST_SEPARATOR, as_csv
from app.shell.state import Request
from core.model.catalog import BUILTIN_FOLDER

TEXT = st.text(st.characters(exclude_categories=("Cs",)))  # core refuses half characters
AWKWARD = (
    "Obama grew up in",
    'He said "no", it\'s a \\ backslash\\',
    '"""\\n is not a line break',
    "two\nlines\tand\r\nmore",
    "emoji 🙂 and {braces} # comment",
)
LINES = {  # as the cells write them, with core's own answer
    "table = forward_lens(model, prompt, target, top_k=5)": lambda model, p, t: core.forward_lens(
        model, p, t, top_k=5
    ),
    'table = backward_lens(trace(model, prompt, target), "ff2")': lambda model, p, t: (
        core.backward_lens(core.trace(model, p, t), "ff2")
    ),
    'table = backward_lens(trace(model, prompt, target), "ff2", normalize=True)': (
        lambda model, p, t: core.backward_lens(core.trace(model, p, t), "ff2", normalize=True)
    ),
    "table = rank_curve(model, prompt, target)": core.rank_curve,
    "table = gradient_rank(trace(model, prompt, target))": lambda model, p, t: core.gradient_rank(
        core.trace(model, p, t)
    ),
    "table = vjp_norms(trace(model, prompt, target))": lambda model, p, t: core.vjp_norms(
        core.trace(model, p, t)
    ),
}


@cache
def tiny():
    return core.load_model("tiny-gpt2")


def read_back(table):
    """Every field of the CSV as text."""
    data = io.BytesIO(as_csv(table))
    return pd.read_csv(data, dtype=str, keep_default_na=False, encoding="utf-8-sig")


@pytest.mark.parametrize("line", LINES)
def test_the_code_of_each_cell_makes_its_table(line):
    scope = {}
    exec(code_lines(Request("tiny-gpt2", AWKWARD[1], 'ab"'), line), scope)
    pd.testing.assert_frame_equal(scope["table"], LINES[line](tiny(), AWKWARD[1], 'ab"'))


@pytest.mark.parametrize("prompt", AWKWARD)
def test_the_code_asks_exactly_what_the_user_typed(prompt):
    scope, target = {}, f" {prompt}"
    line = "table = forward_lens(model, prompt, target, top_k=2)"
    exec(code_lines(Request("tiny-gpt2", prompt, target), line), scope)
    assert (scope["prompt"], scope["target"]) == (prompt, target)
    expected = core.forward_lens(tiny(), prompt, target, top_k=2)
    pd.testing.assert_frame_equal(scope["table"], expected)
    assert scope["table"].attrs["note"] == expected.attrs["note"] != ""


def test_the_code_imports_what_it_uses_and_opens_the_chosen_model():
    request = Request(str(BUILTIN_FOLDER / "tiny-gpt2"), "a", "b")
    code = code_lines(request, "table = vjp_norms(trace(model, prompt, target))")
    assert code.splitlines()[0] == "from core import load_model, trace, vjp_norms"
    assert f'model = load_model("{BUILTIN_FOLDER}/tiny-gpt2")' in code


def test_the_code_gives_edits_to_what_depends_on_them_and_changes_no_text():
    request = Request("tiny-gpt2", "say trace(x)", "b", entries=(SimpleNamespace(name="mine"),))
    lines = [
        "table = vjp_norms(trace(model, prompt, target))",
        "table = side_effects(model, edits, target=target, paraphrases=['a trace(model) b'])",
        "table = forward_lens(model, prompt, target, edits=())",
    ]
    code = code_lines(request, *lines).splitlines()
    assert code[-3:] == [
        "table = vjp_norms(trace(model, prompt, target, edits=edits))",
        *lines[1:],
    ]
    assert 'prompt, target = "say trace(x)", "b"' in code


@given(TEXT)
@example("\u2028\u0085\x0c\x00\x7f")
@example("\\N{DASH} \\u0041 %s {x}")
def test_a_literal_is_one_line_of_python_that_means_the_text(text):
    assert ast.literal_eval(literal(text)) == text
    assert not set(literal(text)) & set("\n\r")


def test_csv_of_cores_table_reads_back():
    prompt = 'a,b "c" é 🙂\nNA null'
    table = core.backward_lens(core.trace(tiny(), prompt, "Paris"), "ff2")
    back = read_back(table)
    assert list(back.columns) == list(table.columns)
    assert list(back["token"]) == list(table["token"])
    assert list(back["layer"].astype(int)) == list(table["layer"])
    assert list(back["top_tokens"]) == [LIST_SEPARATOR.join(t) for t in table["top_tokens"]]
    assert back["norm"].astype(float).to_numpy() == pytest.approx(table["norm"].to_numpy())
    ranks = ["" if pd.isna(rank) else str(rank) for rank in table["target_rank"]]
    assert "" in ranks  # the last layer has near-zero cells
    assert list(back["target_rank"]) == ranks


def test_csv_by_hand_with_a_mark_for_spreadsheets():
    table = pd.DataFrame(
        {"token": [" é", "b"], "words": [[" a", "|"], []], "p": [[0.5, 1e-9], [1 / 3]]}
    )
    before = table.copy(deep=True)
    lines = as_csv(table).decode("utf-8").splitlines()
    assert lines == ["\ufefftoken,words,p", " é, a | |,0.5 | 1e-09", "b,,0.333333"]
    pd.testing.assert_frame_equal(table, before)


@given(st.lists(TEXT.filter(lambda text: "\0" not in text), min_size=1, max_size=5))
@example(['"', "a,b", "\n", " ", "", "NA"])
@example(["\r", "b"])
def test_any_token_comes_back_from_the_csv(tokens):
    back = read_back(pd.DataFrame({"token": tokens, "words": [[token] for token in tokens]}))
    assert list(back["token"]) == tokens
    assert list(back["words"]) == tokens


def keys_around_charts(block, around=()):
    """The ids of all containers that a page's charts stand in."""
    for child in block.children.values():
        if hasattr(child, "children"):
            yield from keys_around_charts(child, (*around, str(child.proto)))
        elif child.type == "vega_lite_chart":
            yield from around


@pytest.mark.parametrize(("tokens", "at_end"), [(5, False), (40, True)])
def test_a_table_opens_at_its_end_only_where_its_layers_stand_there(tokens, at_end):
    def script(tokens):
        import pandas as pd

        from app.charts.token_table import Quantity, token_table
        from app.notebook.cell import cell

        table = pd.DataFrame(
            {"layer": [0] * tokens, "position": range(tokens), "token": "a", "v": 1.0}
        )
        quantity = Quantity("v", "norm", "Signal")
        chart = token_table(table, "token", quantity, {"T": table["token"]}, dark=False)
        cell(1, "title", "words", key="here").draw(chart, "a table")

    at = AppTest.from_function(script, kwargs={"tokens": tokens}).run()
    assert not at.exception
    (chart,) = at.get("vega_lite_chart")
    assert any("opens_at_end_here_chart" in key for key in keys_around_charts(at.main)) == at_end
    axis = json.loads(chart.proto.spec)["layer"][0]["encoding"]["y"]["axis"]
    assert (axis["orient"] == "right") == at_end
