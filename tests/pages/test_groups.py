"""Many prompts with groups: sentences, panels and lines for each, and which two are compared."""

import dataclasses
import json

import pytest
from streamlit.testing.v1 import AppTest

import core
from app.shell.study_jobs import STUDIES
from core.studies.counterfact import MINI_COUNTERFACT
from tests.pages.test_many_prompts import PAGE, unescaped
from tests.pages.test_pages import chart_data, charts, open_page

RECORDS = list(core.load_counterfact(MINI_COUNTERFACT))[:40]


def in_groups(*names: str, count: int = 40, **changes) -> core.Study:
    records = [
        dataclasses.replace(record, group=names[i % len(names)], **changes)
        for i, record in enumerate(RECORDS[:count])
    ]
    return core.study(core.load_model("tiny-gpt2"), records)


@pytest.fixture(scope="module")
def two() -> core.Study:
    return in_groups("*North*", "South")


def opened(study: core.Study) -> AppTest:
    """The page with this study in the session."""
    at = open_page(PAGE)
    at.session_state[STUDIES] = {"given": study}
    return at.run()


def titles(at: AppTest) -> list[str]:
    return [chart["title"]["text"] for chart in charts(at) if "title" in chart]


def test_each_picture_has_a_panel_or_a_line_for_each_group(two):
    at = opened(two)
    assert not at.exception
    assert "Groups of prompts: *North* (20) and South (20)" in unescaped(at).replace("**", "", 2)
    assert set(chart_data(at)["study"]) == {"*North*", "South"}
    panels = ["*North*", "South"]
    apart = "*North* minus South"
    assert titles(at) == [*panels, *panels, apart, *panels, apart, *panels, apart]
    assert any("The model's answer" in json.dumps(chart) for chart in charts(at))


def test_panels_share_a_scale_and_the_difference_is_the_groups(two):
    at = opened(two)
    place = titles(at).index("*North* minus South") + 1  # the first chart has no title
    north, south, apart = (chart_data(at, place + i) for i in (-2, -1, 0))
    means = [frame.set_index(["layer", "position"])["value"] for frame in (north, south, apart)]
    assert (means[0] - means[1] - means[2]).abs().max() < 1e-9
    scales = [charts(at)[place + i]["layer"][0]["encoding"]["color"]["scale"] for i in (-2, -1, 0)]
    assert scales[0] == scales[1]
    low, middle, high = scales[2]["domain"]
    assert (low, middle) == (-high, 0)
    assert means[2].abs().max() == pytest.approx(high)


def test_the_sentences_are_cores_comparisons(two):
    at = opened(two)
    found = core.compare_groups(two, "norm", "*North*", "South")
    assert found.verdict == "no difference to be told"
    text = unescaped(at)
    assert text.count("No difference") >= 3
    assert "with so few prompts (20 and 20)" in text
    assert "*North*" in text
    assert "1 in 20 misses by chance" in text


def test_the_code_gives_the_comparison(two):
    at = opened(two)
    blocks = [block.value for block in at.code if "compare_groups" in block.value]
    assert len(blocks) == 5
    given = 'compare_groups(result, "norm", "*North*", "South", part="ff2", segment="last token")'
    assert any(given in block for block in blocks)
    for block in blocks:
        scope = {"result": two}
        exec("from core import compare_groups\n" + block.splitlines()[-1], scope)
        assert scope["comparison"].n_first == 20


def test_one_layer_and_another_place_can_be_compared(two):
    at = opened(two)
    at.selectbox(key="group_layer_8").set_value(3).run()
    assert not at.exception
    assert "at the last token (layer 3)" in unescaped(at)
    (place,) = [box for box in at.selectbox if box.key.startswith("study_norms_place")]
    place.set_value("last subject token").run()
    assert "at the last subject token (layer 3)" in unescaped(at)
    code = next(block.value for block in at.code if '"norm"' in block.value)
    assert 'segment="last subject token", layers=3' in code
    for answered in ("correctly", "wrongly"):
        at.selectbox(key="study_answered").set_value(answered).run()
        assert not at.exception


def test_of_more_groups_two_are_chosen():
    at = opened(in_groups("a", "b", "c", count=30))
    assert set(chart_data(at)["study"]) == {"a", "b", "c"}
    boxes = {box.label: box for box in at.selectbox}
    boxes["First group"].set_value("c").run()
    boxes = {box.label: box for box in at.selectbox}
    assert boxes["Second group"].options == ["a", "b"]
    boxes["Second group"].set_value("b").run()
    assert not at.exception
    assert titles(at)[:3] == ["c", "b", "a"]  # the other group behind a click
    assert "c minus b" in titles(at)
    assert any(expander.label == "The other groups (1)" for expander in at.expander)


def test_prompts_without_subjects_and_answers():
    at = opened(in_groups("a", "b", subject=None, target_true=None))
    assert not at.exception
    assert "Whether the model's own answers are right is not known" in unescaped(at)
    assert not [box for box in at.selectbox if "_place" in box.key]
    assert "no prompt names its subject" in unescaped(at)
    for answered in ("correctly", "wrongly"):
        at.selectbox(key="study_answered").set_value(answered).run()
        assert not at.exception
        assert "No prompt of this study was answered" in unescaped(at)


def test_a_group_of_few_gets_no_interval():
    at = opened(in_groups("a", "b", count=8))
    assert not at.exception
    assert "**Too few prompts to compare** a and b (4 and 4)" in unescaped(at)
    assert "95% interval," not in unescaped(at)


def test_a_study_of_an_earlier_version_says_what_to_do(two):
    old = core.Study(two.of_group("South").header, two.of_group("South").sums, ())
    at = opened(old)
    assert not at.exception
    assert "start it again to see this picture" in unescaped(at)
    assert "Groups of prompts" not in unescaped(at)


def test_a_study_without_groups_is_as_it_was():
    at = opened(in_groups(""))
    assert not at.exception
    assert not titles(at)
    assert "Groups of prompts" not in unescaped(at)
    assert "compare_groups" not in "".join(block.value for block in at.code)
    assert set(chart_data(at)["study"]) == {"tiny-gpt2"}


def test_ranks_by_length_are_drawn_as_core_has_them():
    study = in_groups("")
    at = opened(study)
    data = chart_data(at, 1)
    table = study.ranks_by_length.query("answered == 'all' and matrix == 'ff1'")
    last = table[table["layer"] == 7].set_index("prompt_length")
    drawn = data[data["Layers"] == "7"].set_index("prompt_length")
    assert drawn["n"].to_dict() == last["n"].to_dict()
    assert drawn["rank"].to_dict() == last["gradient_rank"].to_dict()
    assert "The paper found the same number in more than 98.5% of cases" in unescaped(at)
    assert "below the last layer FF1's gradient has" in unescaped(at)
