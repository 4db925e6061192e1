"""What a check can be about: numbers and words of what is on the screen, by their names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from app.notebook import tables
from app.shell.state import Request
from app.words import number, percent


@dataclass(frozen=True)
class Number:
    """A live number: what it is called in a sentence, and how it is read and written.

    One that is not `whole` is compared within a tolerance.
    """

    words: str
    read: Callable[[Request], float]
    write: Callable[[float], str] = number
    whole: bool = True


@dataclass(frozen=True)
class Word:
    """A live token."""

    words: str
    read: Callable[[Request], str]


def at_the_end(table: pd.DataFrame) -> pd.DataFrame:
    """The last prompt token's rows, the last layer last."""
    return table[table["position"] == table["position"].max()].sort_values("layer")


def end_of_lens(request: Request) -> pd.Series:
    return at_the_end(tables.forward_lens(request)).iloc[-1]


def answer(request: Request) -> str:
    """The token that the model finds most probable, with the edits that are on."""
    return next(iter(end_of_lens(request)["top_tokens"]), "")


def answer_probability(request: Request) -> float:
    return next(iter(end_of_lens(request)["top_probabilities"]), 0.0)


def target(request: Request) -> str:
    return request.model.target(request.prompt, request.target).token


def target_place(request: Request) -> float:
    """1 for the most probable token; behind all where the model's output has no words."""
    rank = end_of_lens(request)["target_rank"]
    return request.model.vocabulary_size if pd.isna(rank) else int(rank) + 1


def layers_to_target(request: Request) -> int:
    """In how many layers the last token's update, which subtracts delta, pushes towards the target
    first of all words."""
    end, word = at_the_end(tables.backward_lens(request, "ff2")), target(request)
    return sum(tokens[:1] == [word] for tokens in end["bottom_tokens"])


def strongest(request: Request) -> pd.Series:
    """The layer and token with the largest norm of FF2's VJP, as the picture marks them."""
    norms = tables.vjp_norms(request)
    norms = norms[norms["module"] == "ff2"]
    return norms.loc[norms["norm"].idxmax()]


def signal_share_of_the_end(request: Request) -> float:
    """The last prompt token's part of all norms of FF2's VJPs."""
    norms = tables.vjp_norms(request)
    norms = norms[norms["module"] == "ff2"]
    total = norms["norm"].sum()
    return float(at_the_end(norms)["norm"].sum() / total) if total else 0.0


def gradient_rank(request: Request) -> int:
    """The most directions that the change of any MLP matrix has."""
    return int(tables.gradient_rank(request)["rank"].max())


def last_layer_rank(request: Request) -> int:
    ranks = tables.gradient_rank(request)
    return int(ranks.loc[ranks["layer"] == ranks["layer"].max(), "rank"].max())


NUMBERS = {
    "answer_probability": Number(
        "the probability of its answer", answer_probability, percent, False
    ),
    "target_probability": Number(
        "the probability of your target",
        lambda request: float(end_of_lens(request)["target_probability"]),
        percent,
        False,
    ),
    "target_place": Number("your target's place among the model's answers", target_place),
    "surprise": Number(
        "its surprise at your target, in nats",
        lambda request: tables.trace(request).loss,
        whole=False,
    ),
    "prompt_tokens": Number(
        "the number of prompt tokens", lambda request: tables.trace(request).prompt_length
    ),
    "layers": Number("the number of layers", lambda request: request.model.n_layers),
    "layers_to_target": Number(
        "the number of layers whose last token is pushed towards your target", layers_to_target
    ),
    "strongest_layer": Number(
        "the layer with the strongest signal", lambda request: int(strongest(request)["layer"])
    ),
    "signal_share_of_the_end": Number(
        "the last token's share of the signal", signal_share_of_the_end, percent, False
    ),
    "gradient_rank": Number("the number of directions of the change", gradient_rank),
    "last_layer_rank": Number("the number of directions in the last layer", last_layer_rank),
}
WORDS = {
    "answer": Word("the model's answer", answer),
    "target": Word("the first token of your target", target),
    "strongest_token": Word(
        "the token with the strongest signal", lambda request: strongest(request)["token"]
    ),
}
