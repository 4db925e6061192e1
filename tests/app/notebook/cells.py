"""Kept cells for tests, made as a page makes them."""

from functools import cache

import core
from app.charts.token_table import Quantity, token_table
from app.notebook.code import code_lines
from app.notebook.keep import Drawn, Finished
from app.notebook.kept import KeptCell, KeptEdit
from app.shell.ledger import Entry
from app.shell.state import Request

PROMPT, TARGET = "Obama grew up in", "Paris"


@cache
def made_edit() -> Entry:
    model = core.load_model("tiny-gpt2")
    return Entry(core.edit(model, PROMPT, TARGET, method="forward-shift"), "Obama & <Paris>")


def kept_edit() -> tuple[KeptEdit, bytes]:
    entry = made_edit()
    return KeptEdit(entry.id, entry.name), core.edit_bytes(entry.edit)


def kept_cell(
    *,
    prompt: str = PROMPT,
    title: str = "What each layer would say next",
    finding: str = "It says **Hawaii**.",
    edits: tuple[KeptEdit, ...] = (),
    dark: bool = False,
) -> KeptCell:
    """A forward lens of the built-in model, of the edited one where there are edits."""
    model = core.load_model("tiny-gpt2")
    entries = (made_edit(),) if edits else ()
    request = Request("tiny-gpt2", prompt, TARGET, None, entries)
    table = core.forward_lens(model, prompt, TARGET, top_k=3, edits=[e.edit for e in entries])
    shown = table.assign(word=table["top_tokens"].str[0], p=table["top_probabilities"].str[0])
    quantity = Quantity("p", "probability", "Probability", domain=(0.0, 1.0))
    chart = token_table(shown, "word", quantity, {"Token": shown["token"]}, dark=dark)
    cell, _ = Finished(
        key="forward",
        title=title,
        words="Each cell is a word. Read a column upwards.",
        findings=(finding,),
        drawn={"chart": Drawn(chart, False, "Heatmap of words", dark)},
        code=code_lines(request, "table = forward_lens(model, prompt, target, top_k=3)"),
        table=table,
        settings={"colour": "Entropy"},
        edits=entries,
        path="forward_lens",
    ).kept()
    return cell
