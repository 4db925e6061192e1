"""What parts of a model, a prompt and a study are called on the screen: the same on every page."""

from __future__ import annotations

import core

# The order is that of pickers, legends and panels.
MATRIX_TITLES = {"ff1": "FF1", "gate": "FF1's gate", "ff2": "FF2"}

MODULE_TITLES = {
    "ff2": "FF2 (MLP output)",
    "ff1": "FF1 (MLP input)",
    "gate": "FF1's gate",
    "attn_out": "Attention output",
    "attn_in": "Attention input (Q, K, V)",
    "block": "Whole block",
}

SEGMENT_TITLES = dict(
    zip(
        core.SEGMENTS,
        (
            "before subject",
            "subject first",
            "subject middle",
            "subject last",
            "after subject",
            "further",
            "last token",
        ),
        strict=True,
    )
)

# Of what a token's rank is taken, and which token's.
VECTOR_TITLES = {"ff2": "Signal δ of FF2", "ff1": "Input x of FF1"}
WORD_TITLES = {"target": "The target", "answer": "The model's answer"}

ANSWERED_TITLES = {"all": "All", "correctly": "Answered correctly", "wrongly": "Answered wrongly"}

# What is searched for each method in core.edit_strength.
RATE_TITLES = {
    "forward-shift": "forward pass shift (η)",
    "sgd": "gradient descent (learning rate)",
    "adam": "one step of Adam (learning rate)",
}
