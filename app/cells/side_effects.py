"""What else the active edits changed."""

from __future__ import annotations

import pandas as pd
import streamlit as st

import core
from app.findings.edits import side_effects_finding
from app.notebook import tables
from app.notebook.cell import cell, is_dark
from app.notebook.code import code_lines
from app.shell.related import related
from app.shell.state import Request
from app.words import plain, visible

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


def side_effects_cell(number: int, request: Request, old_answer: str) -> None:
    place = cell(
        number,
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
    table = tables.side_effects(request, around, old_answer)
    if table.empty:
        place.picture.info("No prompts: write some below.")
        return
    target = request.model.target(request.prompt, request.target).token
    verdicts = core.verdicts(table, target)
    place.say(side_effects_finding(table, verdicts))
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


def moves(before: pd.Series, after: pd.Series) -> list[str]:
    """Probabilities before and after, as text."""
    return [f"{a:.0%} → {b:.0%}" for a, b in zip(before, after, strict=True)]
