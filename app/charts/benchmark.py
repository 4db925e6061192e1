"""The benchmark's pictures: each method's three shares, and what a stronger shift brings."""

from __future__ import annotations

import altair as alt
import pandas as pd
import pyarrow as pa

from app.charts.palette import ACCENT, INK, LINES, PAPER, QUIET
from app.charts.style import finished, layered
from app.charts.themes import in_both_themes
from app.words import number

# Of a benchmark's table, and what stands over each panel.
PANELS = {
    "efficacy": "Says the fact",
    "paraphrase": "… in other words",
    "neighbourhood": "Neighbours stay right",
}
PANEL_WIDTH, ROW = 185, 17
APART = 0.05  # of a picture's width and height: labels that are nearer lie on each other
SHARES = alt.Axis(format=".0%", tickCount=5, grid=True)


@in_both_themes
def benchmark_dots(
    table: pd.DataFrame, kind: str, names: tuple[str, str], *, dark: bool
) -> alt.HConcatChart:
    """A panel for each of three shares, a row a method: a filled dot with its interval, and a
    hollow diamond for what the paper gives.

    table: title, row (whose row it stands in), published (bool), and efficacy_<kind>,
    paraphrase_<kind>, neighbourhood_<kind>, each with _low and _high (missing where published).
    `names` are those of the benchmark's model and of the paper's. `kind` is "acc" or "success".
    """
    methods = list(dict.fromkeys(table["row"]))
    drawn = [name for i, name in enumerate(names) if (table["published"] == bool(i)).any()]
    panels = [
        panel(table, f"{measure}_{kind}", title, methods, names, drawn, dark, first=not place)
        for place, (measure, title) in enumerate(PANELS.items())
    ]
    chart = alt.HConcatChart()
    chart["hconcat"], chart["spacing"] = panels, 30
    return finished(chart, dark)


def panel(
    table: pd.DataFrame,
    column: str,
    title: str,
    methods: list[str],
    names: tuple[str, str],
    drawn: list[str],
    dark: bool,
    *,
    first: bool,
) -> alt.LayerChart:
    """One share of every method; the methods' names stand at the first panel only."""
    shown = table[table[column].notna()]
    low, high = (
        shown[f"{column}_{end}"].astype("float64").fillna(shown[column]) for end in ("low", "high")
    )
    data = pa.table(
        {
            "Method": pa.array(shown["title"], pa.string()),
            "row": pa.array(shown["row"], pa.string()),
            "Model": pa.array([names[p] for p in shown["published"]], pa.string()),
            "value": shown[column].astype("float64"),
            "low": low.clip(0, 1),
            "high": high.clip(0, 1),
            "text": pa.array(map(said, shown[column], low, high), pa.string()),
        }
    )
    colours, fills = [ACCENT[dark], INK[dark]], [ACCENT[dark], PAPER[dark]]
    here = [names.index(name) for name in drawn]
    y = alt.Y(
        "row:N",
        title=None,
        sort=methods,
        scale=alt.Scale(domain=methods),
        axis=alt.Axis(labelLimit=230, grid=True)
        if first
        else alt.Axis(labels=False, ticks=False, grid=True),
    )
    base = alt.Chart().encode(
        y=y, yOffset=alt.YOffset("Model:N", sort=drawn, scale=alt.Scale(domain=drawn))
    )
    scale = alt.Scale(domain=[0, 1])
    rules = base.mark_rule(strokeWidth=2, color=ACCENT[dark], opacity=0.6).encode(
        x=alt.X("low:Q", scale=scale), x2=alt.X2("high:Q")
    )
    legend = alt.Legend(orient="top", labelLimit=260) if first else None
    model = {"title": None, "sort": drawn, "legend": legend}
    dots = base.mark_point(size=75, strokeWidth=2, opacity=1).encode(
        x=alt.X("value:Q", title=title, scale=scale, axis=SHARES),
        shape=alt.Shape(
            "Model:N",
            scale=alt.Scale(domain=drawn, range=[("circle", "diamond")[i] for i in here]),
            **model,
        ),
        stroke=alt.Stroke(
            "Model:N", scale=alt.Scale(domain=drawn, range=[colours[i] for i in here]), **model
        ),
        fill=alt.Fill(
            "Model:N", scale=alt.Scale(domain=drawn, range=[fills[i] for i in here]), **model
        ),
        tooltip=[
            alt.Tooltip("Method:N"),
            alt.Tooltip("Model:N"),
            alt.Tooltip("text:N", title=title.replace("… ", "")),
        ],
    )
    return layered(rules, dots, data=data, width=PANEL_WIDTH, height=alt.Step(ROW))


def said(value: float, low: float, high: float) -> str:
    return f"{value:.1%}" + (f" ({100 * low:.0f} to {100 * high:.0f})" if high > low else "")


@in_both_themes
def generalisation_curve(
    table: pd.DataFrame, layer: int, fixed: float | None, *, dark: bool
) -> alt.LayerChart:
    """How many paraphrases follow against how many neighbours keep their answer, from a weak shift
    to a strong one; the strength for all prompts and the one that is just enough stand out.

    table: as core.calibrate makes it, some rows of which have a strength in numbers. `fixed` is the
    strength that is kept for all prompts, if any.
    """
    own = table[table["layer"] == layer].dropna(subset=["paraphrase", "neighbourhood"])
    numbers = own[own["strength"] != "auto"]
    numbers = numbers.assign(eta=numbers["strength"].astype(float)).sort_values("eta")
    path = points(numbers, [f"η {number(eta)}" for eta in numbers["eta"]])
    path = path.append_column("label", pa.array(labels(numbers), pa.string()))
    x = alt.X(
        "neighbourhood:Q",
        title="Neighbours that keep their answer",
        scale=alt.Scale(domain=[0, 1]),
        axis=SHARES,
    )
    y = alt.Y(
        "paraphrase:Q",
        title="Paraphrases that follow",
        scale=alt.Scale(domain=[0, 1]),
        axis=alt.Axis(format=".0%", tickCount=5),
    )
    tips = [
        alt.Tooltip("name:N", title="Strength"),
        alt.Tooltip("efficacy:Q", title="Says the fact", format=".0%"),
        alt.Tooltip("paraphrase:Q", title="In other words", format=".0%"),
        alt.Tooltip("neighbourhood:Q", title="Neighbours keep their answer", format=".0%"),
    ]
    base = alt.Chart(path).encode(x=x, y=y)
    line = base.mark_line(color=QUIET[dark], strokeWidth=2).encode(order=alt.Order("place:Q"))
    dots = base.mark_point(size=60, filled=True, opacity=1, color=LINES[dark][0]).encode(
        tooltip=tips
    )
    words = base.mark_text(align="left", dx=13, dy=-7, fontSize=12, color=INK[dark]).encode(
        text=alt.Text("label:N")
    )
    kept = numbers[numbers["eta"] == fixed] if fixed is not None else numbers[:0]
    auto = own[own["strength"] == "auto"]
    special = pd.concat([kept, auto])
    titles = ["one strength for all"] * len(kept) + ["just enough for each"] * len(auto)
    marks = alt.Chart(points(special, titles)).mark_point(
        size=190, strokeWidth=2.5, filled=False, opacity=1
    )
    domain = ["one strength for all", "just enough for each"]
    marks = marks.encode(
        x=x,
        y=y,
        shape=alt.Shape(
            "name:N", title=None, scale=alt.Scale(domain=domain, range=["square", "triangle-up"])
        ),
        color=alt.Color(
            "name:N",
            title=None,
            scale=alt.Scale(domain=domain, range=[ACCENT[dark], ACCENT[dark]]),
            legend=alt.Legend(orient="top", labelLimit=260),
        ),
        tooltip=tips,
    )
    return finished(layered(line, dots, words, marks, height=340), dark)


def labels(table: pd.DataFrame) -> list[str]:
    """What stands at each point, the weakest first; nothing where one stands beside it already."""
    placed: list[tuple[float, float]] = []
    texts = []
    for eta, x, y in zip(table["eta"], table["neighbourhood"], table["paraphrase"], strict=True):
        free = all(abs(x - a) > APART or abs(y - b) > APART for a, b in placed)
        placed += [(x, y)] if free else []
        texts.append(f"η {number(eta)}" if free else "")
    return texts


def points(table: pd.DataFrame, names: list[str]) -> pa.Table:
    shares = {
        name: table[name].astype("float64") for name in ("efficacy", "paraphrase", "neighbourhood")
    }
    places = pa.array(range(len(table)), pa.int64())
    return pa.table(shares | {"name": pa.array(names, pa.string()), "place": places})
