"""What a visitor does: open each page, type, follow a link, and see it in the picture."""

import re
from collections.abc import Iterator
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Locator, Page, expect

from app.shell.navigation import PAGES, page_at
from tests.browser.conftest import THEMES, opened
from tests.browser.menu import go_to
from tests.conftest import random_model
from tests.pages import test_pages as pages

WAIT = 120_000  # milliseconds; a page on a busy machine
# By the path in the URL, which is empty for Start.
CHARTS = {page.removesuffix("start"): count for page, count in pages.CHARTS.items()}
QUESTIONS = {page.removesuffix("start"): question for page, question in pages.PAGES.items()}
# Two prompts, how many pieces each has, and two of these as they are shown.
WORDS = {
    "Pikachu is a type of": (7, "achu", "·type"),
    "Lionel Messi plays for": (5, "·Messi", "·plays"),
}
CHART = "[data-testid=stVegaLiteChart]"


def idle(page: Page) -> None:
    """Until the script has run."""
    app = page.get_by_test_id("stApp")
    expect(app).to_have_attribute("data-test-script-state", "notRunning", timeout=WAIT)


def settle(page: Page) -> None:
    """Until the script has run and its charts are drawn."""
    idle(page)
    expect(page.locator(f"{CHART} svg, {CHART} canvas").first).to_be_visible(timeout=WAIT)


def visit(page: Page, server: str, path: str = "", **query: str) -> None:
    inputs = {"model": "tiny-gpt2", "prompt": "Obama grew up in", "target": "Paris"} | query
    page.goto(f"{server}/{path}?{urlencode(inputs)}")
    settle(page)


def box(page: Page, label: str) -> Locator:
    """The text field whose label begins so."""
    return page.get_by_role("textbox", name=re.compile(f"^{label}"))


def type_into(page: Page, label: str, text: str) -> None:
    box(page, label).fill(text)
    box(page, label).press("Enter")


def chart_text(page: Page, index: int = 0) -> str:
    return " ".join(page.locator(CHART).nth(index).locator("svg text").all_text_contents())


@pytest.fixture(scope="module")
def backward(windows, server) -> Iterator[Page]:
    """The backward lens of "Obama grew up in", opened once; tests leave it as they find it."""
    with opened(windows["light"]) as page:
        visit(page, server, "backward_lens")
        yield page


@pytest.fixture(scope="module", params=THEMES)
def tour(windows, server, request) -> Iterator[Page]:
    """One visit that goes from page to page by the menu."""
    with opened(windows[request.param]) as page:
        visit(page, server)
        yield page


@pytest.mark.parametrize("path", CHARTS)
def test_a_page_opens_and_follows_the_prompt(tour, path):
    page = tour
    title = page_at(path).title
    go_to(page, title)
    heading = page.get_by_test_id("stMain").get_by_role("heading").first
    expect(heading).to_have_text(QUESTIONS[path], timeout=WAIT)
    settle(page)
    expect(page.get_by_test_id("stException")).to_have_count(0)
    expect(page.locator(CHART)).to_have_count(CHARTS[path], timeout=WAIT)
    typed = box(page, "Prompt").input_value()
    prompt = next(other for other in WORDS if other != typed)
    type_into(page, "Prompt", prompt)
    length, first, second = WORDS[prompt]
    expect(page.get_by_test_id("stSidebar").get_by_text(first, exact=True)).to_be_visible()
    settle(page)
    expect(page.locator(CHART)).to_have_count(CHARTS[path], timeout=WAIT)
    if path == "gradient_rank":  # its axis is the prompt's length
        finding = page.get_by_text(f"{length} prompt tokens give")
        expect(finding).to_be_visible(timeout=WAIT)
    elif path == "imprint_and_shift":
        expect(page.locator(CHART).nth(2)).to_contain_text(first, timeout=WAIT)
    else:
        index = 2 if path == "across_layers" else 0  # a chart with the prompt's tokens
        expect(page.locator(CHART).nth(index)).to_contain_text(first, timeout=WAIT)
        assert second in chart_text(page, index)
    expect(page).to_have_url(re.compile(re.escape(urlencode({"prompt": prompt}))), timeout=WAIT)


def test_no_label_of_a_token_table_is_cut_off(backward):
    chart = backward.locator(CHART).first
    frame = chart.bounding_box()
    for text in chart.locator("svg text").all():
        inner = text.bounding_box()
        assert inner is None or inner["x"] >= frame["x"] - 4, text.text_content()
        assert inner is None or inner["x"] + inner["width"] <= frame["x"] + frame["width"] + 4


def test_the_first_picture_is_above_the_fold_on_a_laptop(page, server):
    page.set_viewport_size({"width": 1366, "height": 768})
    page.goto(server)
    settle(page)
    cells = page.locator(f"{CHART} svg .mark-rect.role-mark path")
    assert cells.count() >= 4 * 8
    lowest = cells.first.bounding_box()
    assert lowest["y"] + lowest["height"] < 768


def test_a_long_prompt_opens_at_its_last_token(page, server):
    prompt = "The capital of France is Paris. " * 6 + "Obama grew up in"
    visit(page, server, "backward_lens", prompt=prompt)
    chart = page.locator(CHART).first
    widths = chart.evaluate("e => [e.scrollWidth, e.clientWidth, e.scrollLeft]")
    assert widths[0] > widths[1] + 100, "it scrolls"
    assert abs(widths[2]) < 5, "and begins at the right end"
    last = chart.locator("svg text", has_text="·in").last.bounding_box()
    frame = chart.bounding_box()
    assert last["x"] + last["width"] < frame["x"] + frame["width"]


@pytest.mark.parametrize("path", ["backward_lens", "across_layers", "imprint_and_shift"])
def test_on_a_narrow_screen_a_picture_opens_where_its_rows_are_named(page, server, path):
    page.set_viewport_size({"width": 800, "height": 900})
    visit(page, server, path, model="tiny-llama2", prompt="The mother tongue of Obama is")
    charts = page.locator(CHART)
    expect(charts).to_have_count(CHARTS[path], timeout=WAIT)
    page.wait_for_function(
        f"document.querySelectorAll('{CHART} svg').length == {CHARTS[path]}", timeout=WAIT
    )
    places = charts.evaluate_all(
        "all => all.map(e => [e.scrollWidth - e.clientWidth, e.scrollLeft,"
        " !!e.closest('[class*=opens_at_end_]')])"
    )
    assert any(hidden > 20 and not at_end for hidden, _, at_end in places), "it scrolls"
    assert all(left == 0 for _, left, _ in places)  # counted from the right in what opens there


def test_moving_between_pages_keeps_what_was_typed(page, server):
    visit(page, server, prompt="Jack Dorsey founded", target="IBM")
    for title, path in [(page.title, page.path) for page in PAGES[1:]]:
        go_to(page, title)
        expect(box(page, "Prompt")).to_have_value("Jack Dorsey founded")
        if path in CHARTS:
            settle(page)
        expect(page).to_have_url(re.compile("target=IBM"), timeout=WAIT)


def test_a_link_opens_the_same_view(page, server):
    visit(page, server, "forward_lens", model="tiny-llama2", prompt="Eddy Cue is employed by")
    page.get_by_text("Entropy", exact=True).click()
    expect(page).to_have_url(re.compile("colour=Entropy"), timeout=WAIT)
    expect(page.locator(CHART).first).to_contain_text("Entropy", timeout=WAIT)
    settle(page)
    link, seen = page.url, chart_text(page)
    assert "model=tiny-llama2" in link
    page.goto("about:blank")
    page.goto(link)
    settle(page)
    expect(page.locator(CHART).first).to_contain_text("Entropy", timeout=WAIT)
    assert chart_text(page) == seen


def test_an_example_and_another_model(page, server):
    visit(page, server)
    page.get_by_role("button", name="Jack Dorsey founded").click()
    expect(box(page, "Prompt")).to_have_value("Jack Dorsey founded")
    expect(page.locator(CHART).first).to_contain_text("·IBM", timeout=WAIT)
    page.get_by_role("combobox", name="Model").click()
    page.get_by_role("option", name=re.compile("Tiny Llama 2")).click()
    expect(page.locator(CHART).first).to_contain_text("<s>", timeout=WAIT)
    expect(page).to_have_url(re.compile("model=tiny-llama2"), timeout=WAIT)


def test_show_code_and_tooltips(backward):
    page = backward
    page.get_by_text("Show code").first.click()
    expect(page.get_by_test_id("stCode").first).to_contain_text('load_model("tiny-gpt2")')
    page.locator(CHART).first.locator("svg .mark-text.role-mark text").first.hover(force=True)
    tooltip = page.locator("#vg-tooltip-element")
    expect(tooltip).to_contain_text("‖δ‖", timeout=WAIT)
    expect(tooltip).to_contain_text("Pushed towards")


def test_csv_download(backward):
    page = backward
    with page.expect_download() as download:
        page.get_by_role("button", name="Download CSV").first.click()
    text = download.value.path().read_text(encoding="utf-8-sig")
    header, first, *_ = text.splitlines()
    assert header.startswith("layer,position,token,norm,top_tokens,bottom_tokens,target_rank")
    assert first.startswith("0,0,Obama,")
    assert len(text.splitlines()) == 1 + 8 * 4


@pytest.mark.parametrize("field", ["Prompt", "Target"])
def test_markup_is_shown_and_not_run(backward, field):
    page, before = backward, box(backward, field).input_value()
    page.evaluate("window.hacked = false")
    attack = "<img src=x onerror=window.hacked=true><script>window.hacked=true</script>"
    type_into(page, field, attack)
    expect(page.get_by_test_id("stSidebar").get_by_text("script").first).to_be_visible(timeout=WAIT)
    settle(page)
    page.locator(f"{CHART} svg .mark-text.role-mark text").last.hover(force=True)
    expect(page.locator("#vg-tooltip-element")).to_be_visible(timeout=WAIT)
    assert page.evaluate("window.hacked") is False
    expect(box(page, field)).to_have_value(attack)
    type_into(page, field, before)
    settle(page)


def test_a_prompt_of_words_that_mean_something_to_vega_has_its_picture(page, server):
    """A list of labels with "if" among them was no expression, and the page had no picture."""
    visit(page, server, "backward_lens", prompt="if I were you,")
    labels = page.locator(f"{CHART} svg .role-axis-label text").all_text_contents()
    assert "if" in labels


@pytest.mark.parametrize(
    ("field", "text", "message"),
    [
        ("Prompt", "", "The prompt is empty"),
        ("Prompt", "word " * 3000, "the limit is 4,000"),
        ("Target", "   ", "The target is only spaces"),
    ],
)
def test_bad_input_is_named_where_it_was_typed(backward, field, text, message):
    page, before = backward, box(backward, field).input_value()
    type_into(page, field, text)
    sidebar = page.get_by_test_id("stSidebar")
    expect(sidebar.get_by_text(message)).to_be_visible(timeout=WAIT)
    expect(page.get_by_text("Nothing to show yet")).to_be_visible()
    expect(box(page, field)).to_have_value(text)
    expect(page.get_by_test_id("stException")).to_have_count(0)
    type_into(page, field, before)
    expect(page.get_by_text("Nothing to show yet")).to_have_count(0, timeout=WAIT)
    settle(page)


def test_a_model_that_cannot_be_loaded(page, server, tmp_path):
    visit(page, server)
    page.get_by_role("combobox", name="Model").click()
    page.get_by_role("option", name=re.compile("A folder")).click()
    type_into(page, "(Folder|GGUF|A folder).*name on", str(tmp_path))
    expect(page.get_by_text("holds no model")).to_be_visible(timeout=WAIT)
    expect(box(page, "Prompt")).to_have_value("Obama grew up in")


def test_two_visitors_see_their_own_prompts(page, windows, server):
    first, second = page, windows["light"].new_page()
    visit(first, server, prompt="Obama grew up in", target="Paris")
    visit(second, server, prompt="Jack Dorsey founded", target="IBM")
    type_into(first, "Target", "London")
    expect(first.locator(CHART).first).to_contain_text("·London", timeout=WAIT)
    assert "·IBM" in chart_text(second)
    assert "·Dorsey" not in chart_text(first)
    second.close()


@pytest.fixture(scope="module")
def deep_llama(tmp_path_factory) -> str:
    """A folder with a random network of 30 layers and three MLP matrices."""
    folder = tmp_path_factory.mktemp("deep")
    model = random_model("llama", layers=30)
    model.network.save_pretrained(folder)
    model.tokenizer.save_pretrained(folder)
    return str(folder)


def test_three_panels_of_ranks_fit_a_laptop_and_grow_to_the_screen(page, server, deep_llama):
    page.set_viewport_size({"width": 1366, "height": 768})
    visit(page, server, "gradient_rank", model=deep_llama)
    chart = page.locator(CHART).first
    widths = chart.evaluate("e => [e.scrollWidth, e.clientWidth]")
    assert widths[0] <= widths[1] + 1, "nothing to scroll"
    frame = chart.bounding_box()
    assert frame["y"] + frame["height"] < 768
    texts = chart.locator("svg text").all()
    assert len(texts) > 10
    for text in texts:
        inner = text.bounding_box()
        assert inner is None or inner["x"] >= frame["x"] - 4, text.text_content()
        assert inner is None or inner["x"] + inner["width"] <= frame["x"] + frame["width"] + 1
    button = page.get_by_role("button", name=re.compile("^Fullscreen")).first
    button.focus()
    expect(page.get_by_test_id("stElementToolbar").first).to_have_css("opacity", "1")
    small = chart.locator("svg").first.bounding_box()["width"]
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name=re.compile("^Close fullscreen"))).to_have_count(1)
    page.wait_for_function(
        "w => document.querySelector('[data-testid=stVegaLiteChart] svg')"
        ".getBoundingClientRect().width > 1.2 * w",
        arg=small,
        timeout=WAIT,
    )
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name=re.compile("^Close fullscreen"))).to_have_count(0)
