"""The page on edit strength: starting, watching, cancelling, reading."""

import math
import time

import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

import core
from app.charts.strength import log_ticks, perplexity_by_layer, rate_by_layer
from app.findings.edit_strength import perplexity_finding, rates_finding
from app.shell.ledger import LEDGER, Entry
from app.shell.navigation import STRENGTH
from app.work.job import GRACE, Job
from core.editing.edit_strength import STRENGTH_METHODS
from tests.pages.test_pages import after, chart_data, charts, gated, job_of, open_page, texts

PAGE = "edit_strength"


def start(at: AppTest) -> Job:
    at.button(key="start_strength").click().run()
    return job_of(at, STRENGTH)


def searched(at: AppTest) -> AppTest:
    start(at)
    return after(at, STRENGTH)


@pytest.fixture
def slow_search(monkeypatch):
    return gated(monkeypatch, "edit_strength")


def table_of(rates, perplexities, base=10.0) -> pd.DataFrame:
    """Rates and perplexities by method, a number a layer; NaN where no rate works."""
    rows = []
    for method in rates:
        for layer, (rate, cost) in enumerate(zip(rates[method], perplexities[method], strict=True)):
            rows.append((method, layer, rate, not math.isnan(rate), cost, base, 0.1))
    columns = ["method", "layer", "rate", "works", "perplexity", "base_perplexity", "seconds"]
    return pd.DataFrame(rows, columns=columns)


def test_an_empty_page_says_what_to_do():
    at = open_page(PAGE)
    assert not at.exception
    assert at.header[0].value == "How strong must an edit be?"
    assert "Nothing is measured yet" in texts(at)
    assert "3 methods × 8 layers = 24 searches" in at.button(key="start_strength").label
    assert not charts(at)


@pytest.mark.parametrize("model", ["tiny-gpt2", "tiny-llama2"])
def test_a_search_is_drawn_and_kept_for_its_request(model):
    at = open_page(PAGE, model=model)
    at = searched(at)
    assert not at.exception
    assert len(charts(at)) == 2
    data = chart_data(at)
    assert len(data) == 24
    assert "Least is needed by forward pass shift" in texts(at)
    assert "different units" in texts(at)
    assert not [b for b in at.button if b.key == "start_strength"]
    scope: dict = {}
    exec(at.code[0].value, scope)
    pd.testing.assert_series_equal(scope["table"]["rate"], data["rate"], rtol=1e-3)
    at.text_input(key="target").set_value("London").run()
    assert not charts(at)
    at.text_input(key="target").set_value("Paris").run()
    assert len(charts(at)) == 2


def test_a_search_is_watched_and_cancelled(slow_search):
    at = open_page(PAGE)
    task = start(at)
    slow_search.release(6)
    while task.done < 7:
        time.sleep(0.01)
    at.run()
    bars = [bar.proto.text for bar in at.get("progress")]
    assert any("7 of 24 steps" in text and "left" in text for text in bars)
    assert not [b for b in at.button if b.key == "start_strength"]
    at.switch_page("../pages/forward_lens.py").run()
    assert len(charts(at)) == 1
    at.switch_page(f"../pages/{PAGE}.py").run()
    at.text_input(key="target").set_value("London").run()
    assert "is running; the next one can start when it has ended" in texts(at)
    at.text_input(key="target").set_value("Paris").run()
    at.button(key="cancel_strength").click().run()
    slow_search.release(50)
    at = after(at, STRENGTH)
    assert not at.exception
    assert "was cancelled; nothing of it is kept" in texts(at)
    assert not charts(at)
    assert task.done < 24


def test_a_lost_session_ends_its_search(slow_search):
    at = open_page(PAGE)
    task = start(at)
    task.left_at = time.monotonic() - 2 * GRACE
    slow_search.release(50)
    task.thread.join(30)
    assert task.ended_early


def test_with_active_edits_it_is_another_question():
    model = core.load_model("tiny-gpt2")
    at = open_page(PAGE, target="London")
    made = core.edit(model, "Pikachu is a type of", "music", method="forward-shift")
    at.session_state[LEDGER] = [Entry(made, "mine")]
    at.run()
    at = searched(at)
    assert not at.exception
    assert len(charts(at)) == 2
    assert "the model with your edits" in texts(at)
    assert "edit_strength(model, prompt, target, edits=edits)" in at.code[0].value
    at.session_state[LEDGER] = []
    at.run()
    assert not charts(at)


def test_the_answer_already_needs_nothing():
    at = open_page(PAGE, target="Hawaii")
    at = searched(at)
    assert not at.exception
    assert "Nothing to measure: the model already says `·Hawaii`" in texts(at)
    assert len(charts(at)) == 1


def test_a_search_that_fails_gets_a_sentence(monkeypatch):
    def fail(*_, **__):
        raise core.ModelError("tiny-gpt2 ran out of memory on this prompt.")

    monkeypatch.setattr("core.edit_strength", fail)
    at = open_page(PAGE)
    at = searched(at)
    assert not at.exception
    assert "ran out of memory" in at.error[0].value


def test_findings_name_the_easiest_layer_the_price_and_the_failures():
    nan = math.nan
    table = table_of(
        {"forward-shift": [nan, 0.4, 0.1], "sgd": [0.2, 0.05, 0.1], "adam": [nan, nan, nan]},
        {"forward-shift": [nan, 30, 11], "sgd": [12, 9, 10], "adam": [nan, nan, nan]},
    )
    rates = rates_finding(table, " Paris")
    assert "forward pass shift in layer 2 (**0.1**; layer 1 needs 4 times as much)" in rates
    assert "gradient descent in layer 1 (**0.05**; layer 0 needs 4" in rates
    assert "No rate works by forward pass shift in layer 0; nor by one step of Adam" in rates
    assert "in any layer" in rates
    price = perplexity_finding(table, "the unedited model")
    assert "perplexity of 10." in price
    assert "forward pass shift in layer 2 raises it by 10.0%" in price
    assert "gradient descent in layer 1 lowers it by 10.0%" in price
    assert "worst of all is forward pass shift in layer 1: 30." in price


def test_findings_where_nothing_works_or_nothing_gets_worse():
    none = table_of({"sgd": [math.nan] * 2}, {"sgd": [math.nan] * 2})
    assert rates_finding(none, " Paris").startswith("No rate of any method")
    assert perplexity_finding(none, "the unedited model").startswith("No change works")
    better = table_of({"sgd": [0.1, 0.2]}, {"sgd": [8, 9]})
    assert "No change makes it worse" in perplexity_finding(better, "the unedited model")
    broken = table_of({"sgd": [0.1, 0.2]}, {"sgd": [math.inf, 9]})
    assert "breaks the model" in perplexity_finding(broken, "the unedited model")


@pytest.mark.parametrize("dark", [False, True])
def test_the_charts_have_log_rates_and_a_dashed_rule(dark):
    table = table_of(
        {m: [0.1, 0.2] for m in STRENGTH_METHODS}, {m: [11, 200] for m in STRENGTH_METHODS}
    )
    rates = rate_by_layer(table, dark=dark).to_dict()
    assert rates["layer"][0]["encoding"]["y"]["scale"]["type"] == "log"
    cost = perplexity_by_layer(table, "the unedited model", dark=dark).to_dict()
    dash = cost["layer"][0]["encoding"]["strokeDash"]
    assert dash["scale"]["range"] == [[5, 4]]
    assert cost["layer"][1]["encoding"]["y"]["scale"]["type"] == "log"
    near = table_of({"sgd": [0.1, 0.2]}, {"sgd": [11, 12]})
    cost = perplexity_by_layer(near, "the unedited model", dark=dark).to_dict()
    assert cost["layer"][1]["encoding"]["y"]["scale"]["type"] == "linear"


def test_log_axes_have_few_ticks_around_the_values():
    assert log_ticks(pd.Series([0.2, 0.4])) == [0.1, 0.2, 0.5, 1.0]
    assert log_ticks(pd.Series([1e-4, 5.0])) == [1e-4, 1e-3, 0.01, 0.1, 1.0, 10.0]
