"""The forward lens's cell."""

from __future__ import annotations

import pandas as pd

from app.cells.controls import choice, some_layers
from app.cells.picked import picked
from app.cells.swap import reached_regions
from app.cells.tooltips import describe_cells, first_words, rank_text
from app.charts.style import along
from app.charts.token_table import Quantity, token_table
from app.findings.lenses import forward_finding
from app.notebook import tables
from app.notebook.cell import cell, is_dark
from app.notebook.code import code_lines
from app.shell.state import Request
from app.words import code_span, visible

TOP_K = 5
ZEROS = (
    " “–” is a vector of zeros: it has no words, because this model's final norm has no bias, so "
    "that every token is equally probable."
)
COLOURS = {
    "probability": "Probability",
    "entropy": "Entropy",
    "target_rank": "Target's rank",
}


def forward_cell(number: int, request: Request) -> tuple[int, int] | None:
    """Layer x token table of the most probable tokens; returns the picked cell, if there is one."""
    place = cell(
        number,
        "What each layer would say next",
        "Each cell is the word the model would say after this token if it stopped at this layer. "
        "Read a column upwards: the last layer, on top, is the real answer.",
        key="forward",
    )
    row = place.controls.container(horizontal=True, vertical_alignment="bottom", gap="medium")
    colour = choice(row, "Colour", COLOURS, "colour", default="probability")
    lens = tables.forward_lens(request, TOP_K)
    pick = picked("forward", request.model.n_layers, along(lens, "position", "token"))
    vocabulary = request.model.vocabulary_size
    target = request.model.target(request.prompt, request.target).token
    quantity = {
        "probability": Quantity(
            "probability", "probability", "Probability of the word shown", domain=(0.0, 1.0)
        ),
        "entropy": Quantity("entropy", "entropy", "Entropy (nats): how undecided the model is"),
        "target_rank": Quantity(
            "target_rank",
            "rank",
            "Rank of the target + 1: 1 = most probable (log scale)",
            domain=(0, vocabulary - 1),
            log=True,
        ),
    }[colour]
    table = lens.assign(
        probability=lens["top_probabilities"].str[0],
        word=first_words(lens["top_tokens"]),
        silent=lens["top_tokens"].str.len() == 0,
    )
    named = describe_cells(table) | {
        f"{i + 1}": pd.Series(
            f"{visible(tokens[i])}   {probabilities[i]:.1%}" if tokens else "–"
            for tokens, probabilities in zip(
                lens["top_tokens"], lens["top_probabilities"], strict=True
            )
        )
        for i in range(TOP_K)
    }
    named |= {
        "Entropy (nats)": table["entropy"].map("{:.2f}".format),
        "Rank of the target": visible(target) + ": " + table["target_rank"].map(rank_text),
    }
    last = int(table["layer"].max())
    table = some_layers(row, table, last, "forward")
    pick.fields(place.controls)
    chart = token_table(
        table,
        "word",
        quantity,
        named,
        dark=is_dark(),
        blank="silent",
        marked=table["top_tokens"].str[0] == target,
        picked=reached_regions(request, pick.cell),
    )
    place.say(forward_finding(lens, target, vocabulary))
    place.draw(
        chart,
        "Heatmap of the most probable word for each layer and prompt token",
        on_select="rerun",
    )
    place.controls.caption(
        "Hover a cell for its five best words; click it to put something else there"
        + (": cell 2, below, shows what follows. " if pick.cell else ". ")
        + f"A frame marks cells that already say {code_span(target)}."
        + (ZEROS if table["silent"].any() else "")
    )
    place.finish(
        code_lines(request, f"table = forward_lens(model, prompt, target, top_k={TOP_K})"), lens
    )
    return pick.cell
