"""What the active edits have done: answers, lenses, where they landed, what else changed."""

from __future__ import annotations

from functools import partial

import pandas as pd
import streamlit as st

import core
from app.cells.edit_form import start
from app.cells.tooltips import describe_cells, is_dark
from app.charts.curves import MATRIX_TITLES
from app.charts.edits import landing_chart, method_chart
from app.charts.flow import Panel, flow_chart
from app.charts.token_table import Quantity, token_table
from app.findings import lenses as findings
from app.notebook.cell import cell, code_lines
from app.notebook.tables import Edits, Key, key
from app.shell.ledger import Entry
from app.shell.models import load
from app.shell.related import Related, related
from app.shell.state import Request
from app.words import plain, visible

TOP_K = 8
KINDS = {
    "paraphrase": "now say it",
    "neighbour": "stay (neighbour)",
    "unrelated": "stay (unrelated)",
}
MARKS = {"good": "✓ good", "mixed": "~ mixed", "bad": "✗ bad"}
COLOURS = {  # backgrounds, light and dark; the mark says the same in words
    False: {"good": "#dcefdc", "mixed": "#fbecc8", "bad": "#f7d9d3"},
    True: {"good": "#1f3d27", "mixed": "#4a3a12", "bad": "#4f231c"},
}


@st.cache_data(max_entries=128, show_spinner=False)
def both_answers(asked: Key, _edits: Edits) -> tuple[pd.DataFrame, pd.DataFrame]:
    model_name, prompt, _, _ = asked
    model = load(model_name)
    top_k = min(TOP_K, model.vocabulary_size)
    return (
        core.answers(model, prompt, top_k=top_k),
        core.answers(model, prompt, edits=_edits, top_k=top_k),
    )


@st.cache_data(max_entries=64, show_spinner="Asking around …")
def asked_around(
    asked: Key, _edits: Edits, around: tuple[tuple[str, ...], ...], old_answer: str
) -> pd.DataFrame:
    model_name, _, target, _ = asked
    paraphrases, neighbours, unrelated = around
    return core.side_effects(
        load(model_name),
        _edits,
        paraphrases=paraphrases,
        neighbours=neighbours,
        unrelated=unrelated,
        target=target,
        old_answer=old_answer,
    )


def answers_cell(request: Request) -> str:
    """Before and after side by side; returns the original answer."""
    place = cell(
        2,
        "What it says before and after",
        "Left: the original model's most probable next words. Right: those of the model with your "
        "active edits. The original itself is never changed.",
        key="answers",
    )
    before, after = both_answers(*key(request))
    target = request.model.target(request.prompt, request.target).token
    panels = [
        Panel(
            title,
            subtitle,
            tuple(visible(token) for token in table["token"]),
            tuple(table["probability"]),
            tuple(f"{p:.1%}" for p in table["probability"]),
        )
        for title, subtitle, table in (
            ("Original", "no edits", before),
            ("With your edits", f"{len(request.entries)} active", after),
        )
    ]
    place.show(
        findings.edit_finding(before, after, target),
        flow_chart(panels, visible(target), dark=is_dark()),
        "The most probable next words before and after the edits",
        fit=False,
    )
    place.finish(
        code_lines(request, "table = answers(model, prompt, edits=edits)"),
        after.assign(before=before["token"], probability_before=before["probability"]),
    )
    return before["token"].iloc[0]


def lens_cell(request: Request) -> None:
    place = cell(
        3,
        "How it thinks, before and after",
        "Each cell is the word the model would say if it stopped at this layer. The difference "
        "shows where the target's probability rose (orange) or fell (blue).",
        key="lenses",
    )
    view = place.controls.segmented_control(
        "View",
        ["difference", "after", "before"],
        format_func=str.capitalize,
        default="difference",
        required=True,
        key="lens_view",
        bind="query-params",
    )
    before, after = both_lenses(*key(request))
    gain = after["target_probability"] - before["target_probability"]
    shown = before if view == "before" else after
    table = shown.assign(
        probability=shown["top_probabilities"].str[0],
        gain=gain,
        word=shown["top_tokens"].str[0].map(visible),
    )
    target = request.model.target(request.prompt, request.target).token
    quantity = Quantity("probability", "probability", "Probability of the word shown", (0.0, 1.0))
    if view == "difference":
        title = "Change of the target's probability"
        quantity = Quantity("gain", "difference", title, (-1.0, 1.0))
    tooltips = describe_cells(table) | {
        "Before": before["top_tokens"].str[0].map(visible),
        "After": after["top_tokens"].str[0].map(visible),
        "Target before": before["target_probability"].map("{:.2%}".format),
        "Target after": after["target_probability"].map("{:.2%}".format),
    }
    place.show(
        findings.lens_change_finding(before, after, target),
        token_table(
            table,
            "word",
            quantity,
            tooltips,
            dark=is_dark(),
            marked=before["top_tokens"].str[0] != after["top_tokens"].str[0],
        ),
        f"Heatmap by layer and prompt token: {view}",
        fit=False,
    )
    place.controls.caption("A frame marks cells whose first word has changed.")
    place.finish(
        code_lines(
            request,
            "before = forward_lens(model, prompt, target, edits=())",
            "table = forward_lens(model, prompt, target, edits=edits)",
            'table["before"] = before["target_probability"]',
        ),
        after.assign(before=before["target_probability"]),
    )


@st.cache_data(max_entries=32, show_spinner="Reading both models …")
def both_lenses(asked: Key, _edits: Edits) -> tuple[pd.DataFrame, pd.DataFrame]:
    model_name, prompt, target, _ = asked
    model = load(model_name)
    return (
        core.forward_lens(model, prompt, target),
        core.forward_lens(model, prompt, target, edits=_edits),
    )


def landing_cell(request: Request) -> None:
    place = cell(
        4,
        "Where the edits landed",
        "How large the change of each matrix is, as a part of the matrix itself. An edit is kept "
        "beside the model and added while it runs.",
        key="landing",
    )
    tables = [sizes(request.model, entry) for entry in request.entries]
    table = pd.concat(tables, ignore_index=True)
    place.show(
        findings.landing_finding(table, request.entries),
        landing_chart(table, request.model.n_layers, dark=is_dark()),
        "Bar chart of the size of the change by layer and matrix",
        fit=False,
    )
    place.finish(
        code_lines(request, "table = change_sizes(model, edits[-1])"),
        table,
    )


def sizes(model: core.LanguageModel, entry: Entry) -> pd.DataFrame:
    table = core.change_sizes(model, entry.edit)
    return table.assign(edit=entry.name, Matrix=table["matrix"].map(MATRIX_TITLES))


def side_effects_cell(request: Request, old_answer: str) -> None:
    place = cell(
        5,
        "What else changed",
        "Paraphrases should now give the target; neighbours (other subjects) and unrelated prompts "
        "should answer as before.",
        key="side_effects",
    )
    around = prompts_around(place.controls, request)
    problems = [text for text in sum(around, ()) if problem_of(request, text)]
    if problems:
        place.picture.error(plain(problem_of(request, problems[0])))
        return
    table = asked_around(*key(request), around, old_answer)
    if table.empty:
        place.picture.info("No prompts: write some below.")
        return
    target = request.model.target(request.prompt, request.target).token
    verdicts = core.verdicts(table, target)
    place.picture.markdown(findings.side_effects_finding(table, verdicts))
    place.picture.dataframe(
        styled(table, verdicts),
        hide_index=True,
        row_height=35,
        height=38 + 35 * len(table) + 4,
        key="side_effects_rows",
    )
    place.finish(
        code_lines(
            request,
            "table = side_effects(model, edits, target=target, "
            f"old_answer={old_answer!r}, paraphrases={list(around[0])!r}, "
            f"neighbours={list(around[1])!r}, unrelated={list(around[2])!r})",
        ),
        table.assign(verdict=verdicts),
    )


def problem_of(request: Request, prompt: str) -> str:
    try:
        request.model.encode(prompt)
    except core.PromptError as error:
        return f"{prompt[:60]}: {error}"
    return ""


def prompts_around(where, request: Request) -> tuple[tuple[str, ...], ...]:
    """The prompts of each kind, from the record or templates, as the user has changed them."""
    proposed = related(request.prompt, request.subject)
    source = "this fact's record" if proposed.known else "templates"
    parts = []
    with where.expander(f"Change the prompts (from {source})"):
        for name in ("paraphrases", "neighbours", "unrelated"):
            text = st.text_area(
                f"{name.capitalize()}, one a line",
                "\n".join(getattr(proposed, name)),
                key=f"around_{name}_{request.prompt}_{request.subject}",
                max_chars=4000,
            )
            lines = dict.fromkeys(line.strip() for line in text.splitlines())
            parts.append(tuple(line for line in lines if line)[:20])
    return tuple(parts)


def moves(before: pd.Series, after: pd.Series) -> list[str]:
    """Probabilities before and after, as text."""
    return [f"{a:.0%} → {b:.0%}" for a, b in zip(before, after, strict=True)]


def styled(table: pd.DataFrame, verdicts: pd.Series):
    """Rows in green, amber or red, with the same in words."""
    shown = pd.DataFrame(
        {
            "": verdicts.map(MARKS),
            "Should": table["kind"].map(KINDS),
            "Prompt": table["prompt"],
            "Before": table["answer_before"].map(visible),
            "After": table["answer_after"].map(visible),
            "Target": moves(table["target_before"], table["target_after"]),
            "Old answer": moves(table["old_before"], table["old_after"]),
            "KL, nats": table["kl"].map("{:.3f}".format),
        }
    )
    colours = COLOURS[is_dark()]

    def paint(row: pd.Series) -> list[str]:
        return [f"background-color: {colours[verdicts[row.name]]}"] * len(row)

    return shown.style.apply(paint, axis=1)


def comparison_cell(number: int, request: Request) -> None:
    """All methods on the same fact, each apart from the others."""
    place = cell(
        number,
        "All methods on this fact",
        "Each method edits the original model on its own, with its defaults: does it say the "
        "target, also when asked otherwise, and do other prompts keep their answers?",
        key="comparison",
        original=True,
    )
    proposed = related(request.prompt, request.subject)
    about = (request.model_name, request.prompt, request.target, request.subject)
    place.controls.button(
        "Compare all methods",
        key="compare_methods",
        on_click=start,
        args=("Comparing the methods", partial(compare, request, proposed), about),
    )
    known = st.session_state.get("comparison")
    if known is None or known[0] != about:
        place.picture.caption("Press the button: each method takes from a moment to minutes.")
        return
    table, _ = known[1]
    place.show(
        findings.comparison_finding(table, request.target),
        method_chart(table, dark=is_dark()),
        "Bar chart of what each method reaches",
        fit=False,
    )
    place.picture.dataframe(
        comparison_rows(table), hide_index=True, height=38 + 36 * len(table), key="comparison_rows"
    )
    subject = "" if request.subject is None else ", subject=subject"
    place.finish(
        code_lines(request, f"table, made = compare_methods(model, prompt, target{subject})"), table
    )


def compare(request: Request, around: Related, on_step):
    return core.compare_methods(
        request.model,
        request.prompt,
        request.target,
        subject=request.subject,
        paraphrases=around.paraphrases,
        neighbours=around.neighbours,
        unrelated=around.unrelated,
        on_step=on_step,
    )


def comparison_rows(table: pd.DataFrame) -> pd.DataFrame:
    percent = "{:.0%}".format

    def share(values: pd.Series) -> pd.Series:
        return values.map(lambda v: "–" if pd.isna(v) else percent(v))

    return pd.DataFrame(
        {
            "Method": table["title"],
            "Says the target": table["works"].map({True: "✓ yes", False: "✗ no"}),
            "Answer": table["answer"].map(lambda t: "–" if pd.isna(t) else visible(t)),
            "Target": share(table["target_probability"]),
            "Paraphrases": share(table["paraphrases"]),
            "Others keep their answer": share(table["kept"]),
            "Seconds": table["seconds"].map(lambda v: "–" if pd.isna(v) else f"{v:.2f}"),
            "Size": table["bytes"].map(lambda v: "–" if pd.isna(v) else f"{v / 1e3:,.0f} kB"),
            "Problem": table["problem"],
        }
    )
