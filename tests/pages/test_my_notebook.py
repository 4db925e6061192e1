"""My notebook: "Keep" on every page, and all that can be done with what was kept."""

import nbformat
import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

import core
from app.notebook.file import as_file, from_file
from app.notebook.keep import ON_PAGE
from app.notebook.kept import frame
from app.notebook.mine import NOTEBOOK, Pages
from app.notebook.our_code import is_ours
from app.shell.navigation import PAGES as MENU
from tests.fuzz.downloads import offered
from tests.pages.test_pages import charts, open_page, texts

FILE = "../pages/my_notebook.py"
LOOK = [page.file.removesuffix(".py") for page in MENU if page.path != "my_notebook"]


def keeps(at: AppTest) -> list[str]:
    return [button.key for button in at.button if button.label == "Keep"]


def pages(at: AppTest) -> Pages:
    return at.session_state[NOTEBOOK].pages if NOTEBOOK in at.session_state else Pages()


def to_notebook(at: AppTest) -> AppTest:
    return at.switch_page(FILE).run()


def with_edit(page: str = "edit", **inputs: str) -> AppTest:
    model = core.load_model("tiny-gpt2")
    made = core.edit(model, "Obama grew up in", "Paris", method="forward-shift")
    at = open_page(page, **inputs)
    file = ("edit.safetensors", core.edit_bytes(made), "application/octet-stream")
    return at.file_uploader(key="edit_file").set_value(file).run()


def spec_of(chart: dict) -> dict:
    return {name: value for name, value in chart.items() if name not in ("datasets", "data")}


@pytest.mark.parametrize("page", LOOK)
def test_every_cell_of_every_page_can_be_kept_as_it_is_seen(page):
    at = with_edit(page) if page in ("edit", "forward_lens") else open_page(page)
    keys = keeps(at)
    seen = [spec_of(chart) for chart in charts(at)]
    for key in keys:
        at.button(key=key).click().run()
        assert not at.exception
    kept = pages(at).cells
    assert [f"{cell.key}_keep" for cell in kept] == keys
    for cell in kept:
        assert cell.title
        assert cell.words
        assert len(frame(cell.columns)) > 0
        assert cell.findings or not cell.charts
        for chart in cell.charts:
            assert all((chart.alt, chart.light, chart.dark)), chart.name
    to_notebook(at)
    assert not at.exception
    shown = [spec_of(chart) for chart in charts(at)]
    assert len(shown) == len(seen)
    assert all(any(one == other for other in seen) for one in shown)


def test_the_numbers_are_the_cells_own():
    at = open_page("forward_lens")
    at.button(key="forward_keep").click().run()
    model = core.load_model("tiny-gpt2")
    expected = core.forward_lens(model, "Obama grew up in", "Paris", top_k=5)
    table = frame(pages(at).cells[0].columns)
    pd.testing.assert_frame_equal(table, pd.DataFrame(expected), check_dtype=False)
    (asked,) = [cell.asked for cell in pages(at).cells]
    assert (asked.model, asked.prompt, asked.target) == ("tiny-gpt2", "Obama grew up in", "Paris")


def test_a_cell_is_kept_once_and_says_so():
    at = open_page("forward_lens")
    at.button(key="forward_keep").click().run()
    assert "Kept ✓" in at.get("page_link")[-1].proto.label
    at.button(key="forward_keep").click().run()
    assert "Kept already" in at.get("page_link")[-1].proto.label
    at.segmented_control(key="colour").set_value("entropy").run()
    assert not any("Kept" in link.proto.label for link in at.get("page_link"))
    at.button(key="forward_keep").click().run()
    assert len(pages(at).cells) == 2


def test_the_controls_of_the_link_are_kept_and_no_tokens():
    at = open_page("forward_lens", colour="Entropy", study="a-token")
    at.button(key="forward_keep").click().run()
    assert dict(pages(at).cells[0].settings) == {"colour": "Entropy"}


def test_an_empty_notebook_says_what_to_do():
    at = open_page("my_notebook")
    assert "Nothing is kept yet" in texts(at)
    assert any("Backward lens" in link.proto.label for link in at.get("page_link"))


def two_kept() -> AppTest:
    at = open_page("backward_lens")
    for key in ("backward_keep", "inputs_keep"):
        at.button(key=key).click().run()
    return to_notebook(at)


def order(at: AppTest) -> list[str]:
    return [getattr(entry, "key", "text") for entry in pages(at).entries]


def test_entries_are_moved_removed_and_brought_back():
    at = two_kept()
    first, second = (entry.id for entry in pages(at).entries)
    at.button(key=f"kept_down_{first}").click().run()
    assert order(at) == ["inputs", "backward"]
    at.button(key=f"kept_remove_{second}").click().run()
    assert order(at) == ["backward"]
    assert len(charts(at)) == 1
    at.button(key="notebook_undo").click().run()
    assert order(at) == ["inputs", "backward"]
    assert not at.exception


def test_text_stands_between_and_is_only_text():
    at = two_kept()
    first, _ = pages(at).entries
    at.button(key=f"write_{first.id}").click().run()
    assert order(at) == ["backward", "text", "inputs"]
    text = pages(at).entries[1]
    hostile = "# Idea\n**bold** ![x](http://elsewhere.invalid/a.png) <script>alert(1)</script>"
    at.text_area(key=f"kept_text_{text.id}").set_value(hostile).run()
    at.button(key=f"kept_done_{text.id}").click().run()
    (shown,) = [h.proto.body for h in at.get("html") if "Idea" in h.proto.body]
    assert "<h3>Idea</h3>" in shown
    assert "<strong>bold</strong>" in shown
    assert "<img" not in shown
    assert "<script" not in shown
    assert "&lt;script&gt;" in shown
    at.button(key=f"rewrite_{text.id}").click().run()
    assert at.text_area(key=f"kept_text_{text.id}").value == hostile
    at.text_area(key=f"kept_text_{text.id}").set_value(" ").run()
    at.button(key=f"kept_done_{text.id}").click().run()
    assert order(at) == ["backward", "inputs"]


def test_a_title_is_kept():
    at = two_kept()
    at.text_input(key="notebook_title").set_value("French *cities*").run()
    assert pages(at).title == "French *cities*"
    assert at.text_input(key="notebook_title").value == "French *cities*"


def test_a_cell_opens_live_with_its_request_its_controls_and_its_edits():
    at = with_edit("forward_lens", colour="Entropy")
    at.button(key="forward_keep").click().run()
    at.checkbox[0].uncheck().run()
    assert not at.session_state["ledger"][0].on
    at.text_input(key="prompt").set_value("The capital of France is").run()
    to_notebook(at)
    (cell,) = pages(at).cells
    assert "Obama" in texts(at)
    assert cell.edits[0].name
    at.button(key=f"kept_live_{cell.id}").click().run()
    assert not at.exception
    assert at.header[0].value == "What does the model think, layer by layer?"
    assert at.text_input(key="prompt").value == "Obama grew up in"
    assert at.segmented_control(key="colour").value == "entropy"
    assert at.session_state["ledger"][0].on
    del at.session_state["ledger"][0]
    to_notebook(at)
    at.button(key=f"kept_live_{cell.id}").click().run()
    assert [entry.id for entry in at.session_state["ledger"]] == [cell.edits[0].id]


def test_too_much_is_refused_with_a_sentence(monkeypatch):
    monkeypatch.setattr("app.notebook.mine.MOST_CELLS", 1)
    at = open_page("backward_lens")
    for key in ("backward_keep", "inputs_keep"):
        at.button(key=key).click().run()
    assert "at most 1 cells" in at.warning[0].value
    assert len(pages(at).cells) == 1
    monkeypatch.setattr("app.notebook.keep.CELL_VALUES", 10)
    at.button(key="backward_keep").click().run()
    assert "My notebook takes cells of at most" in at.warning[0].value


def saved(at: AppTest) -> bytes:
    return as_file(pages(at))


def upload(at: AppTest, content: bytes) -> AppTest:
    file = ("mine.backwardlens", content, "application/zip")
    return at.file_uploader(key="notebook_file").set_value(file).run()


def test_a_saved_notebook_opens_in_an_empty_one():
    at = two_kept()
    at.text_input(key="notebook_title").set_value("Cities").run()
    content, seen = saved(at), charts(at)
    at = upload(open_page("my_notebook"), content)
    assert not at.exception
    assert pages(at).title == "Cities"
    assert order(at) == ["backward", "inputs"]
    assert [spec_of(chart) for chart in charts(at)] == [spec_of(chart) for chart in seen]


def test_a_file_is_put_below_or_in_place_of_what_is_there_and_nothing_is_lost():
    content = saved(two_kept())
    at = to_notebook(open_page("forward_lens").button(key="forward_keep").click().run())
    upload(at, content)
    assert order(at) == ["forward"]
    at.button(key="notebook_add").click().run()
    assert order(at) == ["forward", "backward", "inputs"]
    assert len({entry.id for entry in pages(at).entries}) == 3
    upload(at, content + b" ")
    at.button(key="notebook_replace").click().run()
    assert order(at) == ["backward", "inputs"]
    at.button(key="notebook_undo").click().run()
    assert order(at) == ["forward", "backward", "inputs"]
    upload(at, content)
    at.button(key="notebook_leave").click().run()
    assert order(at) == ["forward", "backward", "inputs"]
    assert not at.exception


def test_a_file_that_is_none_is_a_sentence():
    at = upload(two_kept(), b"nothing")
    assert "The file is no notebook" in at.error[0].value
    assert order(at) == ["backward", "inputs"]


def test_every_picture_and_every_code_of_the_pages_is_ours_and_comes_back():
    """What a page can keep, a file can bring: no chart or program of ours is taken for foreign."""
    for page in LOOK:
        at = with_edit(page) if page == "edit" else open_page(page)
        for key in keeps(at):
            at.button(key=key).click().run()
        kept = pages(at)
        back = from_file(as_file(kept))
        for old, new in zip(kept.cells, back.cells, strict=True):
            assert new.columns == old.columns
            assert is_ours(new.code), new.code
            for mine, its in zip(old.charts, new.charts, strict=True):
                assert (its.light, its.dark) == (mine.light, mine.dark), (old.key, mine.name)


@pytest.mark.parametrize("page", ["backward_lens", "edit", "many_prompts"])
def test_a_page_is_downloaded_as_it_stands(page):
    with offered() as files:
        at = with_edit(page) if page == "edit" else open_page(page)
    name = f"{page}.html"
    text = files[name]().decode()
    assert all(f">{cell}<" in text for cell in titles(at))
    book = nbformat.reads(files[f"{page}.ipynb"]().decode(), 4)
    assert len([c for c in book.cells if c.source.endswith("\ntable")]) == len(keeps(at))
    assert len(from_file(files[f"{page}.backwardlens"]()).cells) == len(keeps(at))


def titles(at: AppTest) -> list[str]:
    """Of the cells that can be kept."""
    keys = {key.removesuffix("_keep") for key in keeps(at)}
    return [cell.title for cell in at.session_state[ON_PAGE].cells if cell.key in keys]
