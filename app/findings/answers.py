"""What edits change in answers: to one prompt, and to a table of prompts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from app.words import code_span, count, percent, plain, shortened


def answers_finding(answers: Sequence[pd.DataFrame], texts: Sequence[str] | None) -> str:
    """What the original and, if it was asked, the edited model say next, in one sentence.

    `texts` are what they then wrote, once both have written to the end.
    """
    firsts = [table.iloc[0] for table in answers]
    before = said(firsts[0]["token"])
    shares = [plain(percent(first["probability"])) for first in firsts]
    if len(firsts) == 1:
        return f"The most probable next token is {before} ({shares[0]})."
    if firsts[0]["token"] != firsts[1]["token"]:
        return (
            f"**≠ Changed:** with your edits the most probable next token is "
            f"{said(firsts[1]['token'])} ({shares[1]}) instead of {before} ({shares[0]})."
        )
    differs = texts is not None and texts[0] != texts[1]
    return (
        f"**= The same:** {before} stays the most probable next token ({shares[0]}, with your "
        f"edits {shares[1]})" + (", but the text goes on differently." if differs else ".")
    )


def said(token: str) -> str:
    return code_span(shortened(token, 40))


def table_finding(rows: Sequence[Mapping[str, object]], total: int, *, edits: bool) -> str:
    """How many answers the edits change; `total` rows were to be asked."""
    good = [row for row in rows if not row["problem"]]
    bad = len(rows) - len(good)
    words = f"The original model answers {count(len(good), 'prompt')}."
    if edits:
        changed = sum(bool(row["changed"]) for row in good)
        words = f"Your edits change the answer to {changed} of {count(len(good), 'prompt')}."
        if good and not changed:
            words = f"Your edits change no answer: {count(len(good), 'prompt')} asked."
    if bad:
        words += f" {count(bad, 'row')} could not be asked; the last column says why."
    if len(rows) < total:
        words += f" Only {len(rows)} of {total} were asked. Press “Ask all” to ask again."
    return words
