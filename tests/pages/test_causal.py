"""Swapping a cell of the forward lens, and learning at one of the backward lens, on their pages."""

import html
import re

import pyarrow as pa
import pytest
from streamlit.testing.v1 import AppTest

import core
from app.charts.regions import PICKED
from app.shell.ledger import LEDGER
from app.shell.models import load
from app.words import percent
from tests.conftest import PROMPT, TARGET
from tests.pages.test_pages import charts, open_page, texts

OTHER = "Adele grew up in"  # what the app proposes beside PROMPT


def click(at: AppTest, key: str, layer: int, position: int) -> AppTest:
    """As a click on a cell of the picture does."""
    at.session_state[f"{key}_chart"] = {
        "selection": {"cell": [{"layer": layer, "position": position}]}
    }
    return at.run()


def framed(at: AppTest) -> list[tuple]:
    """The regions that the first picture frames."""
    sets = {each.name: each.data.data for each in at.get("vega_lite_chart")[0].proto.datasets}
    rows = pa.ipc.open_stream(sets[PICKED]).read_all().to_pylist()
    return [tuple(row.values()) for row in rows if row["kind"] != "none"]


def table_of(at: AppTest, said: str):
    """What the code under a cell makes."""
    (code,) = (block.value for block in at.code if said in block.value)
    scope: dict = {}
    exec(code, scope)
    return scope


@pytest.mark.parametrize("model", ["tiny-gpt2", "tiny-llama2"])
def test_a_click_puts_another_prompts_state_into_the_cell(model):
    at = open_page("forward_lens", model=model)
    assert "Before" not in texts(at)
    assert framed(at) == []
    last = len(load(model).encode(PROMPT)) - 1
    click(at, "forward", 3, last)
    assert not at.exception
    assert not at.error
    assert at.text_input(key="swap_source").value == OTHER
    seen = core.swap(
        load(model), PROMPT, layer=3, position=last, source_prompt=OTHER, target=TARGET
    )
    shown = texts(at)
    assert "With layer 3 at `·in` taken from `·in` of “Adele grew up in”, the answer" in shown
    assert f"Dashes frame the {seen.moved['reached'].sum() - 1} cells" in shown
    assert framed(at) == [("reached", 4, 7, last, last), ("own", 3, 3, last, last)]
    bodies = [each.proto.body for each in at.get("html")]
    bars = [body for body in bodies if "most probable next tokens" in body]
    assert len(bars) == 3
    for run, bar in zip(("before", "after", "source"), bars, strict=True):
        first = seen.answers_of(run).iloc[0]
        assert first["token"].strip() in bar
        assert html.escape(percent(first["probability"])) in bar
    scope = table_of(at, "swap(")
    assert scope["table"].equals(seen.answers)


def test_the_answer_follows_the_last_token():
    """In the last layer the last token is the answer: the whole of the other prompt's arrives."""
    at = click(open_page("forward_lens"), "forward", 7, 3)
    theirs = core.answers(load("tiny-gpt2"), OTHER, top_k=1)["token"][0].strip()
    assert re.search(rf"turns from `·Hawaii` \(96.*\) to `·{theirs}`", texts(at))
    assert "This cell is the answer itself" in texts(at)
    click(at, "forward", 7, 1)
    assert "it is read at the last token, which this cell does not reach" in texts(at)
    assert "it can change no other" in texts(at)


def test_the_fields_follow_the_click_and_pick_without_a_mouse():
    at = click(open_page("forward_lens"), "forward", 2, 1)
    assert at.selectbox(key="forward_pick_layer_8").value == 2
    assert at.selectbox(key="forward_pick_token_4").value == 1
    at.selectbox(key="forward_pick_layer_8").set_value(5).run()
    assert framed(at)[1] == ("own", 5, 5, 1, 1)
    assert "With layer 5 at `·grew`" in texts(at)
    at.selectbox(key="forward_pick_token_4").set_value(None).run()
    assert framed(at) == []
    assert "With layer" not in texts(at)
    click(at, "forward", 1, 2)
    assert "With layer 1 at `·up`" in texts(at)


def test_a_picked_cell_stays_as_far_as_the_prompt_goes():
    at = click(open_page("forward_lens"), "forward", 2, 3)
    at.text_input(key="prompt").set_value("Obama grew up on").run()
    assert at.selectbox(key="forward_pick_layer_8").value == 2
    assert "What if layer 2 at ·on" in texts(at).replace("\\", "")
    at.text_input(key="prompt").set_value("Obama").run()
    assert not at.exception
    assert framed(at) == []
    assert at.selectbox(key="forward_pick_layer_8").value == 2


def test_another_prompt_may_be_anything_and_bad_ones_are_said():
    at = click(open_page("forward_lens"), "forward", 1, 0)
    at.text_input(key="swap_source").set_value("Messi").run()
    assert "of “Messi”" in texts(at)
    nasty = "# a *b* [c](http://x.y) <script>"
    at.text_input(key="swap_source").set_value(nasty).run()
    assert not at.exception
    assert "[c](" not in texts(at)
    at.text_input(key="swap_source").set_value("   ").run()
    assert "Type at least one word" in texts(at)
    at.text_input(key="swap_source").set_value("a " * 500).run()
    assert "Shorten it" in texts(at)
    assert at.text_input(key="swap_source").value == "a " * 500
    # What somebody wrote stays where the prompt changes.
    at.text_input(key="swap_source").set_value("Messi grew up in").run()
    at.text_input(key="prompt").set_value("Adele grew up in").run()
    assert at.text_input(key="swap_source").value == "Messi grew up in"


def test_the_same_prompt_changes_nothing_and_says_so():
    at = click(open_page("forward_lens"), "forward", 4, 1)
    at.text_input(key="swap_source").set_value(PROMPT).run()
    assert "Nothing changes" in texts(at)


@pytest.mark.parametrize("model", ["tiny-gpt2", "tiny-llama2"])
def test_one_matrix_learns_from_one_token(model):
    at = open_page("backward_lens", model=model)
    last = len(load(model).encode(PROMPT)) - 1
    click(at, "backward", 6, last)
    assert not at.exception
    assert not at.error
    shown = texts(at)
    assert "If FF2 (MLP output) of layer 6 alone learned, from `·in` alone" in shown
    assert "and become the answer" in shown
    assert "is the smallest at which `·Paris` is the answer" in shown
    assert framed(at) == [("own", 6, 6, last, last)]
    scope = table_of(at, "learn_at(")
    share = at.select_slider[0].value
    run = core.trace(load(model), PROMPT, TARGET)
    new = core.learn_at(run, layer=6, position=last, share=share)
    seen = core.compare_before_after(run, new)
    assert scope["table"].equals(seen.table)
    at.select_slider[0].set_value(0.001).run()
    assert "the answer would stay" in texts(at)
    assert "they agree" in texts(at)
    for matrix in load(model).matrices:
        if matrix != "block":
            at.segmented_control(key="one_cell_matrix").set_value(matrix).run()
            assert not at.exception
            assert f'matrix="{matrix}"' in "".join(block.value for block in at.code)


def test_where_delta_is_zero_it_says_why():
    at = click(open_page("backward_lens"), "backward", 7, 1)
    assert "Nothing would change: δ is zero here" in "".join(info.value for info in at.info)
    assert not any(button.key == "keep_one_cell" for button in at.button)
    # Keys and values of the last layer's earlier tokens are read by the last token.
    at.segmented_control(key="one_cell_matrix").set_value("attn_in").run()
    assert "If Attention input (Q, K, V) of layer 7" in texts(at)


def test_a_step_is_kept_as_an_edit():
    at = click(open_page("backward_lens"), "backward", 6, 3)
    at.button(key="keep_one_cell").click().run()
    assert not at.exception
    (entry,) = at.session_state[LEDGER]
    assert entry.on
    assert entry.edit.changes[0].layer == 6
    assert "Your edits: 1 of 1 on" in texts(at)
    assert "Kept: it is on" in "".join(each.value for each in at.success)
    answer = core.answers(load("tiny-gpt2"), PROMPT, edits=[entry.edit], top_k=1)["token"][0]
    assert answer == " Paris"
    assert "it is the answer already" in texts(at)
    at.button(key="undo_edit").click().run()
    assert not at.success


def test_edits_that_are_on_stay_on_for_a_swap():
    at = click(open_page("backward_lens"), "backward", 6, 3)
    at.button(key="keep_one_cell").click().run()
    at.switch_page("../pages/forward_lens.py").run()
    click(at, "forward", 3, 0)
    assert "`·Paris`" in texts(at)
    code = next(block.value for block in at.code if "swap(" in block.value)
    assert "edits=edits" in code
    assert not at.exception


def test_the_start_page_has_no_cell_to_pick():
    at = open_page()
    assert "params" not in charts(at)[0]
    assert not any("pick" in (box.key or "") for box in at.selectbox)
