"""The Compare page: both sides by a link and by hand, their difference, and what is wrong."""

import pytest
from streamlit.testing.v1 import AppTest

import core
from app.shell import ledger
from app.shell.models import load
from tests.conftest import PROMPT, TARGET
from tests.pages.test_pages import ODD, chart_data, charts, open_page, texts

CELLS = (
    "compare_forward",
    "compare_backward",
    "compare_norms",
    "compare_target_rank",
    "compare_rank",
)
OTHER_PROMPT = "Angela Merkel grew up in"


def compare(**query: str) -> AppTest:
    at = open_page("compare", **query)
    assert not at.exception
    return at


def view(at: AppTest, name: str, *keys: str) -> AppTest:
    for key in keys or CELLS:
        at.segmented_control(key=f"{key}_view").set_value(name)
    at.run()
    assert not at.exception
    return at


def plain_texts(at: AppTest) -> str:
    return texts(at).replace("\\", "")


def test_it_opens_on_the_target_against_the_models_own_answer():
    at = compare()
    assert at.header[0].value == "What differs?"
    assert "**Right**: `Obama grew up in` → `Hawaii`" in texts(at)
    assert len(charts(at)) == 8
    assert not at.error
    assert "For **Paris** the signal is stronger than for **Hawaii** in 8 of 8 layers" in texts(at)
    model = load("tiny-gpt2")
    left = chart_data(at, 2).sort_values(["layer", "position"])
    right = chart_data(at, 3).sort_values(["layer", "position"])
    for data, target in ((left, "Paris"), (right, "Hawaii")):
        expected = core.backward_lens(core.trace(model, PROMPT, target))["norm"]
        assert data["value"].to_numpy() == pytest.approx(expected.to_numpy(), rel=1e-4)


def test_the_difference_is_right_less_left():
    at = view(compare(right_target="Rome"), "difference")
    assert len(charts(at)) == 5
    model = load("tiny-gpt2")
    norms = [core.backward_lens(core.trace(model, PROMPT, t))["norm"] for t in (TARGET, "Rome")]
    data = chart_data(at, 1).sort_values(["layer", "position"])
    expected = (norms[1] - norms[0]).to_numpy()
    assert data["value"].to_numpy() == pytest.approx(expected, rel=1e-3, abs=1e-6)
    at.segmented_control(key="compare_backward_measure").set_value("cosine").run()
    cosines = chart_data(at, 1)["value"].dropna()
    assert cosines.between(-1, 1).all()
    for key, values in {
        "compare_forward_measure": ("log_probability", "place"),
        "compare_backward_measure": ("share", "place"),
        "compare_norms_measure": ("share", "input_norm", "input_share"),
        "compare_target_rank_vector": ("forward",),
        "compare_rank_measure": ("share",),
        "compare_module": ("block", "attn_in"),
    }.items():
        for value in values:
            at.segmented_control(key=key).set_value(value).run()
            assert not at.exception
            assert len(charts(at)) == 5


def test_the_list_begins_with_the_largest_difference():
    at = view(compare(right_target="Rome"), "list")
    assert not charts(at)
    for table in at.main.dataframe:
        (column,) = [c for c in table.value if "right less left" in c]
        first = table.value[column].iloc[0]
        sizes = [
            abs(float(v.replace("−", "-").strip("%")))
            for v in table.value[column][:3]
            if v[-1].isdigit() or v.endswith("%")
        ]
        assert first[0] in "+−0", first
        assert sizes == sorted(sizes, reverse=True)


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"right_target": "Rome"},
        {"right_prompt": OTHER_PROMPT},
        {"right_model": "tiny-llama2", "right_prompt": OTHER_PROMPT},
    ],
)
@pytest.mark.parametrize("name", ["sides", "difference"])
def test_show_code_reproduces_the_comparison(query, name):
    at = view(compare(**query), name)
    assert len(at.main.code) == len(CELLS)
    for block in at.main.code:
        scope: dict = {}
        exec(block.value, scope)
        assert len(scope["table"]) > 0


def test_swap_and_swap_back():
    at = compare(right_target="Rome", right_prompt=OTHER_PROMPT, right_model="tiny-llama2")
    at.button(key="swap_sides").click().run()
    assert not at.exception
    assert at.text_input(key="prompt").value == OTHER_PROMPT
    assert at.text_input(key="target").value == "Rome"
    assert at.text_input(key="subject").value == "Angela Merkel"
    assert at.selectbox(key="model_choice").value == "tiny-llama2"
    assert at.text_input(key="right_prompt").value == PROMPT
    assert at.text_input(key="right_target").value == TARGET
    assert at.query_params["right_model"] in ("tiny-gpt2", ["tiny-gpt2"])
    at.button(key="swap_sides").click().run()
    assert at.text_input(key="prompt").value == PROMPT
    assert at.text_input(key="right_prompt").value == OTHER_PROMPT


def test_a_link_opens_both_sides():
    at = compare(right_target="Rome", right_prompt="Mozart grew up in", right_subject="Mozart")
    again = compare(**{k: v if isinstance(v, str) else v[-1] for k, v in at.query_params.items()})
    assert charts(again) == charts(at)
    assert "`Mozart grew up in` → `Rome`" in texts(again)


def test_other_tokens_are_compared_by_segment():
    at = view(compare(right_prompt=OTHER_PROMPT), "difference", *CELLS[:3])
    assert "compared by segment, as seen from the subject" in plain_texts(at)
    assert chart_data(at, 0)["position"].nunique() < 6
    assert "at “last token”" in texts(at)
    assert "segments=parts" in at.main.code[0].value


def test_without_a_subject_there_is_only_side_by_side():
    at = view(compare(right_prompt=OTHER_PROMPT, right_subject="nobody"), "difference", *CELLS[:3])
    assert "is not in the prompt" in plain_texts(at) or any(
        "is not in the prompt" in w.value.replace("\\", "") for w in at.warning
    )
    assert "segments need a subject that stands in the prompt on both sides" in plain_texts(at)
    assert len(charts(at)) == 8


def test_models_of_other_depth_lie_over_relative_depth(tmp_path):
    from tests.conftest import random_model

    model = random_model("gpt2", layers=3)
    model.network.save_pretrained(tmp_path)
    model.tokenizer.save_pretrained(tmp_path)
    at = view(compare(right_model=str(tmp_path)), "difference")
    assert "The models have 8 and 3 layers" in plain_texts(at)
    assert "laid over relative depth" in plain_texts(at)
    assert len(charts(at)) == 8
    assert sorted(set(chart_data(at, 6)["depth"])) == pytest.approx(
        sorted({*(i / 7 for i in range(8)), 0, 0.5, 1})
    )
    assert "(depth " in texts(at)


def test_two_models_share_no_scale():
    at = view(compare(right_model="tiny-llama2"), "difference", *CELLS[:3])
    assert list(at.segmented_control(key="compare_backward_measure").options) == [
        "Share of the signal",
        "Target's rank in δ",
    ]
    assert "delta_cosines" not in at.main.code[1].value


def test_with_and_without_edits():
    edit = core.edit(core.load_model("tiny-gpt2"), PROMPT, TARGET, method="forward-shift")
    at = compare()
    at.session_state["ledger"] = [ledger.Entry(edit, "mine")]
    at.run()
    at.segmented_control(key="right_edits").set_value("none").run()
    assert not at.exception
    assert "**with the edit** than for **without edits**" in texts(at)
    assert at.query_params["right_edits"] in ("none", ["none"])
    assert "other_edits" not in at.main.code[0].value
    assert "edits = [Edit.load(" in at.main.code[0].value
    at.button(key="swap_sides").click().run()
    assert [entry.on for entry in at.session_state["ledger"]] == [False]
    assert at.session_state["right_edits"] == at.session_state["ledger"][0].id
    assert "other_edits = [Edit.load(" in at.main.code[0].value
    assert "**with the edit** than for **without edits**" in texts(at)


def test_a_links_edits_that_are_not_here_are_told():
    at = compare(right_edits="0123456789abcdef")
    assert "can no longer be switched on" in at.warning[0].value
    assert len(charts(at)) == 8


BAD = {
    "prompt": ({"right_prompt": "   "}, "only spaces"),
    "target": ({"right_target": "  "}, "only spaces"),
    "long": ({"right_prompt": "a " * 120}, "at most 96"),
    "model": ({"right_model": "/no/such/folder"}, "There is no folder"),
    "hub": ({"right_model": "nobody/nothing"}, "not on this machine"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_wrong_on_the_right_leaves_the_left(case):
    query, message = BAD[case]
    at = compare(**query)
    assert message in at.error[0].value.replace("\\", "")
    assert len(charts(at)) == 5, "the left side's"
    for key, value in query.items():
        if key != "right_model":
            assert at.text_input(key=key).value == value


def test_what_is_wrong_on_the_left_leaves_the_right():
    at = compare(target=" ", right_target="Rome", right_prompt="Mozart grew up in")
    assert "only spaces" in at.error[0].value
    assert "The left side is missing" in texts(at)
    assert len(charts(at)) == 5
    at = compare(prompt=" ")
    assert len(at.error) == 1, "said once, where it arises"
    assert not charts(at)
    assert "Nothing to show yet" in texts(at)


@pytest.mark.parametrize("number", range(len(ODD)))
def test_any_text_is_compared_and_shown_as_text(number):
    at = compare(prompt=ODD[number], right_prompt=ODD[number - 1], right_target=ODD[number - 2])
    assert not at.error
    assert len(charts(at)) == 8
    view(at, "difference")
    view(at, "list")


def test_the_same_on_both_sides():
    at = compare(right_target=TARGET)
    assert "Both sides are the same" in texts(at)


def test_a_second_run_computes_nothing(monkeypatch):
    at = compare(right_target="Rome")
    for name in ("trace", "forward_lens", "backward_lens"):
        monkeypatch.setattr(core, name, lambda *_, **__: pytest.fail("computed again"))
    view(at, "difference")


def test_a_workshop_without_compare_has_no_way_there(monkeypatch):
    links = [link.proto.label for link in open_page("backward_lens").get("page_link")]
    assert any("own answer" in label for label in links)
    monkeypatch.setattr("app.shell.compare_field.is_open", lambda path: path != "compare")
    at = open_page("backward_lens")
    assert not at.exception
    assert not any("own answer" in link.proto.label for link in at.get("page_link"))


@pytest.mark.parametrize("page", ["ask", "many_prompts"])
def test_pages_without_a_request_have_no_such_button(page):
    at = open_page(page)
    assert not any("own answer" in link.proto.label for link in at.get("page_link"))
