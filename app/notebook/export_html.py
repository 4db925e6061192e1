"""A page or a notebook as one web page that opens anywhere, without a network.

Everything is inside: the texts, the numbers, and the program that draws. A rule in it (its content
security policy) forbids the browser to load anything from anywhere, and to run anything but the two
programs that are named there by their hashes.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import vl_convert

from app.charts.export import VERSION
from app.charts.plain import Plain, with_rows
from app.notebook.about import about
from app.notebook.kept import KeptCell, KeptChart, KeptText
from app.notebook.markdown import as_html, escaped, line_as_html
from app.notebook.mine import Pages
from app.notebook.table_html import table_html

WEB = Path(__file__).parent / "web"
UNTITLED = "My notebook"
NOT_DRAWN = "This picture is not drawn: it is no chart as this program makes them."


def as_page(pages: Pages) -> bytes:
    title = pages.title or UNTITLED
    charts: list[dict[str, object]] = []
    entries = "\n".join(entry_html(entry, pages, charts) for entry in pages.entries)
    data = json.dumps(charts, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy()}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escaped(title)}</title>
<style>{asset("page.css")}</style>
</head>
<body>
<header class="top"><div><h1>{escaped(title)}</h1>
<p class="quiet">Made with Backward Lens: what a language model would learn.</p></div>
<fieldset><legend>Colours</legend>
<label><input type="radio" name="theme" value="light" checked> Light</label>
<label><input type="radio" name="theme" value="dark"> Dark</label></fieldset></header>
<main>
<noscript><p>The pictures need JavaScript. Nothing is loaded from anywhere.</p></noscript>
{entries or "<p>There is no cell in it yet.</p>"}
</main>
<script type="application/json" id="charts">{data}</script>
<script>{drawing_program()}</script>
<script>{asset("page.js")}</script>
</body>
</html>
""".encode()


def entry_html(entry: KeptCell | KeptText, pages: Pages, charts: list[dict[str, object]]) -> str:
    if isinstance(entry, KeptText):
        return f'<section class="text">{as_html(entry.text)}</section>'
    heading = f"c{entry.id}"
    asked = "".join(
        f"<dt>{escaped(name)}</dt><dd>{escaped(text)}</dd>"
        for name, text in about(entry, pages.edits)
    )
    figures = "".join(figure_html(chart, charts) for chart in entry.charts)
    columns = entry.columns
    rows = len(next(iter(columns.values()), []))
    return "\n".join(
        [
            f'<section class="cell" aria-labelledby="{heading}">',
            f'<h2 id="{heading}">{line_as_html(entry.title)}</h2>',
            f'<div class="words">{as_html(entry.words)}</div>',
            *(as_html(finding) for finding in entry.findings),
            figures,
            f"<dl>{asked}</dl>",
            f"<details><summary>The numbers ({rows:,} rows)</summary>",
            f'<div class="numbers" tabindex="0" role="region" aria-label="The numbers">'
            f"{table_html(columns)}</div></details>",
            "<details><summary>The Python code</summary>"
            f'<pre tabindex="0"><code>{escaped(entry.code)}</code></pre></details>',
            "</section>",
        ]
    )


def figure_html(chart: KeptChart, charts: list[dict[str, object]]) -> str:
    """Places for the picture in each theme; its specifications are added to the list."""
    if not chart.size:
        return f'<p class="quiet">{NOT_DRAWN} It showed: {escaped(chart.alt)}</p>'
    label = escaped(chart.alt)
    inside = "".join(places(chart, charts))
    return (
        f'<figure><div class="scroll" tabindex="0" role="group" aria-label="{label}">{inside}'
        "</div></figure>"
    )


def places(chart: KeptChart, charts: list[dict[str, object]]) -> Iterator[str]:
    both = chart.light is not None and chart.dark is not None
    for theme, content in (("light", chart.light), ("dark", chart.dark)):
        if content is not None:
            spec, _ = chart.spec(dark=theme == "dark")
            charts.append({"spec": described(spec, chart.alt), "fit": chart.fit, "theme": theme})
            shown = theme if both else "any"
            yield f'<div class="chart {shown}" data-chart="{len(charts) - 1}"></div>'


def described(spec: Plain, text: str) -> Plain:
    """With its rows, and with a description for those who do not see it."""
    return with_rows(spec) | {"description": text}


@cache
def asset(name: str) -> str:
    return (WEB / name).read_text(encoding="utf-8")


@cache
def drawing_program() -> str:
    """Vega, Vega-Lite and Vega-Embed, as one script."""
    bundle = vl_convert.javascript_bundle(vl_version=VERSION)
    if "</script" in bundle.lower() or "<!--" in bundle:
        raise RuntimeError("This version of Vega cannot stand inside a page.")
    return bundle


@cache
def policy() -> str:
    """Nothing from anywhere, and no program but these two."""
    hashes = " ".join(f"'sha256-{hash_of(text)}'" for text in (drawing_program(), asset("page.js")))
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; "
        "base-uri 'none'; form-action 'none'"
    )


def hash_of(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
