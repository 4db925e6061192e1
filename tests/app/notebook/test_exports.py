"""What is given away: a web page that loads nothing, and a Jupyter notebook that runs."""

import base64
import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import nbclient
import nbformat
import pandas as pd
import pytest
from markdown_it import MarkdownIt

from app.charts.palette import RAMPS
from app.notebook.export_html import as_page
from app.notebook.export_ipynb import as_ipynb
from app.notebook.file import as_file, from_file
from app.notebook.kept import KeptText, frame
from app.notebook.markdown import as_html
from app.notebook.mine import Pages
from app.notebook.our_code import is_ours
from tests.app.notebook.cells import kept_cell, kept_edit
from tests.fuzz.texts import HTML, INJECTIONS, LATEX, MARKUP

ROOT = Path(__file__).resolve().parents[3]
HOSTILE = [*HTML, *INJECTIONS, *LATEX, *MARKUP, "</script><script>alert(1)</script>", "a\n\n\nb"]

TAGS = (
    "html head meta title style body header main footer div h1 h2 h3 h4 h5 h6 p fieldset legend "
    "label input noscript section figure dl dt dd details summary pre code table thead tbody "
    "tr th td script strong em s ul ol li blockquote hr br"
)


@pytest.fixture(scope="module")
def pages() -> Pages:
    edit, content = kept_edit()
    text = KeptText("t", "# My idea\n**Cities** ![x](http://elsewhere.invalid/a.png)")
    entries = (text, kept_cell(), kept_cell(edits=(edit,)))
    return Pages("Where <b>people</b> grow up", entries, {edit.id: content})


class Parsed(HTMLParser):
    """Tags with their attributes, and the text of each script."""

    def __init__(self, page: bytes) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict]] = []
        self.scripts: list[tuple[dict, str]] = []
        self.feed(page.decode())
        self.close()

    def handle_starttag(self, tag: str, attributes: list) -> None:
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1][0] == "script":
            self.scripts.append((self.tags[-1][1], data))

    def of(self, tag: str) -> list[dict]:
        return [attributes for name, attributes in self.tags if name == tag]


def test_the_web_page_runs_its_own_two_programs_and_loads_nothing(pages):
    parsed = Parsed(as_page(pages))
    (policy,) = [m["content"] for m in parsed.of("meta") if "http-equiv" in m]
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe-eval" not in policy
    programs = [text for given, text in parsed.scripts if "type" not in given and text.strip()]
    for text in programs:
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy
    assert len(programs) == policy.count("sha256-") == 2
    addresses = {"src", "href", "data", "action", "poster", "srcset", "formaction"}
    assert not [tag for tag, given in parsed.tags if addresses & set(given)]
    assert not {"iframe", "img", "object", "embed", "link", "base", "form"} & {
        tag for tag, _ in parsed.tags
    }


def charts_of(parsed: Parsed) -> list[dict]:
    texts = [text for given, text in parsed.scripts if given.get("type") == "application/json"]
    return json.loads("".join(texts))


def test_the_web_page_holds_what_was_kept_in_both_themes(pages):
    page = as_page(pages)
    parsed = Parsed(page)
    charts = charts_of(parsed)
    assert [chart["theme"] for chart in charts] == ["light", "dark"] * 2
    for chart in charts:
        colours = RAMPS["probability"][chart["theme"] == "dark"]
        assert chart["spec"]["layer"][0]["encoding"]["color"]["scale"]["range"] == list(colours)
        assert chart["spec"]["description"] == "Heatmap of words"
    words = [row["text"] for row in next(iter(charts[0]["spec"]["datasets"].values()))]
    assert any("Hawaii" in word for word in words)
    text = page.decode()
    assert "Where &lt;b&gt;people&lt;/b&gt; grow up" in text
    assert "“Obama &amp; &lt;Paris&gt;”" in text  # the edit's name
    assert "<h3>My idea</h3>" in text
    assert "It says <strong>Hawaii</strong>." in text
    assert len(parsed.of("table")) == 2


@pytest.mark.parametrize("number", range(0, len(HOSTILE), 8))
def test_any_text_is_only_text_in_both_files(number):
    texts = HOSTILE[number : number + 8]
    cells = [kept_cell(title=t[:200], finding=t) for t in texts[:2]]
    pages = Pages(texts[0], (*(KeptText(f"t{i}", t) for i, t in enumerate(texts)), *cells))
    tags = {tag for tag, _ in Parsed(as_page(pages)).tags}
    assert tags <= set(TAGS.split())
    reader = MarkdownIt("gfm-like", {"html": True, "linkify": False})
    for cell in nbformat.reads(as_ipynb(pages, dark=False).decode(), 4).cells:
        if cell.cell_type == "markdown":
            assert cell.source.startswith("<div>")
            tokens = reader.parse(cell.source)
            assert [token.type for token in tokens] == ["html_block"]
            assert "$" not in cell.source
            found = {tag for tag, _ in Parsed(cell.source.encode()).tags}
            assert not found & {"script", "img", "a", "iframe", "svg", "object", "style"}


def test_markdown_is_text_without_pictures_links_and_html():
    shown = as_html("[a](http://b) ![c](http://d) <http://e> <i>f</i>\n\n[g]: http://h")
    assert not re.search(r"<(a|img|i)\b", shown)
    assert "[a](http://b)" in shown
    assert "[g]: http://h" in shown


def executed(pages: Pages, tmp_path) -> nbformat.NotebookNode:
    """The exported notebook, run in an empty folder in a fresh process."""
    book = nbformat.reads(as_ipynb(pages, dark=True).decode(), 4)
    for place, cell in enumerate(book.cells):
        if cell.cell_type == "code" and cell.source.endswith("\ntable"):
            cell.source += f'.to_json("table-{place}.json", orient="split", double_precision=15)'
    resources = {"metadata": {"path": str(tmp_path)}}
    return nbclient.NotebookClient(book, timeout=120, resources=resources).execute()


def test_the_jupyter_notebook_runs_and_finds_the_same_numbers(pages, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    executed(pages, tmp_path)
    files = sorted(tmp_path.glob("table-*.json"), key=lambda file: int(file.stem.split("-")[1]))
    assert len(files) == len(pages.cells) == 2
    tables = [pd.read_json(file, orient="split") for file in files]
    for table, cell in zip(tables, pages.cells, strict=True):
        pd.testing.assert_frame_equal(table, frame(cell.columns), check_dtype=False)
    before, after = (table["target_probability"].iloc[-1] for table in tables)
    assert after > 10 * before  # the edit came along


def test_the_jupyter_notebook_shows_what_was_kept(pages):
    book = nbformat.reads(as_ipynb(pages, dark=True).decode(), 4)
    assert book.cells[1].source.startswith("from base64 import b64decode")
    code = [cell for cell in book.cells if cell.cell_type == "code"][1:]
    for cell in code:
        picture, table = (output.data for output in cell.outputs)
        assert base64.b64decode(picture["image/png"]).startswith(b"\x89PNG")
        spec = picture["application/vnd.vegalite.v6+json"]
        assert spec["layer"][0]["encoding"]["color"]["scale"]["range"] == list(
            RAMPS["probability"][True]
        )
        assert "<table>" in table["text/html"]
    assert "Obama &amp; &lt;Paris&gt;" in book.cells[-2].source
    assert 'kept_edit("' in code[1].source
    assert "Edit.load" not in code[1].source.replace("import Edit", "")


EVIL = [
    "import os\ntable = os.listdir()",
    "from core import load_model\nimport pandas as pd\ntable = pd.read_pickle('http://x')",
    "table = eval('1')",
    "f = eval\ntable = f('1')",
    "from core import edited\nedited = open\ntable = edited('x')",
    "table = ().__class__.__bases__",
    "from core import export_model\ntable = export_model('a', [], 'b')",
    "from core.model import loading\ntable = 1",
    "import pandas as pd\ntable = pd.DataFrame().to_csv('x')",
    "def f():\n    pass\ntable = f()",
    "table = (lambda: 1)()",
    "!rm x\ntable",
    "%run x",
    "from core import study\ntable = study(1, 2, save_to='x')",
    "from core import study\ntable = study(1, **{'save_to': 'x'})",
]


@pytest.mark.parametrize("code", EVIL)
def test_what_is_more_than_our_code_is_not_ours(code):
    assert not is_ours(code)


def test_code_that_is_not_ours_becomes_no_cell_to_run(pages):
    cells = tuple(replace(pages.cells[0], code=code, charts=()) for code in EVIL)
    opened = from_file(as_file(Pages("", cells)))
    book = nbformat.reads(as_ipynb(opened, dark=False).decode(), 4)
    assert {c.source for c in book.cells if c.cell_type == "code"} == {""}
    assert "shown and not run" in book.cells[2].source


def test_our_own_code_is_ours(pages):
    assert all(is_ours(cell.code) for cell in pages.cells)
