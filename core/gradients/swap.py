"""A causal check of the forward lens: put what one cell holds into another prompt, and look again.

The residual stream after a block at one token is replaced by that of another prompt. If the answer
follows, that cell carried what the answer is made of. Known as activation patching or interchange
intervention (Vig et al. 2020; Meng et al. 2022, causal tracing).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor

from core.errors import PromptError
from core.gradients.lens import cells
from core.gradients.trace import residual_stream
from core.model.capture import block_calls, check_numbers, ending_after
from core.model.edited import turn
from core.model.edits import Edit
from core.model.language_model import LanguageModel
from core.model.projection import check_top_k
from core.model.tokens import Target


@dataclass(frozen=True)
class Swap:
    """One cell of a prompt with another prompt's state in it. Layers and positions from 0."""

    prompt: str
    layer: int
    position: int
    token: str  # of the prompt, at `position`
    source_prompt: str
    source_layer: int
    source_position: int
    source_token: str
    answers: pd.DataFrame  # see swap
    target: Target | None
    target_probability: tuple[float, float]  # before, after; NaN without a target
    target_rank: tuple[int | None, int | None]  # before, after; 0 is best
    moved: pd.DataFrame  # see swap

    def answers_of(self, run: str) -> pd.DataFrame:
        """The answers of one run, "before", "after" or "source": token, probability, logit."""
        rows = self.answers[self.answers["run"] == run]
        return rows.drop(columns="run").reset_index(drop=True)

    @property
    def answer_changes(self) -> bool:
        """Whether the most probable token is another one after the swap."""
        first = self.answers.groupby("run", sort=False)["token"].first()
        return bool(first["before"] != first["after"])


def swap(
    model: LanguageModel,
    prompt: str,
    *,
    layer: int,
    position: int,
    source_prompt: str,
    source_position: int | None = None,
    source_layer: int | None = None,
    edits: Sequence[Edit] = (),
    target: str | None = None,
    top_k: int = 5,
) -> Swap:
    """Put the residual stream of `source_prompt` into one cell of this prompt, and go on from it.

    What stands after block `source_layer` (by default `layer`) at `source_position` (by default
    the last token) replaces what stands after block `layer` at `position`; only the blocks above
    are run again. A source that is a single word swaps a token.

    `answers` has top_k rows, most probable first, for each run: run ("before", "after", and
    "source", what the source prompt says itself), token, probability, logit. `moved` has one row a
    cell: layer, position, token, reached (see `reach`) and change, the L2 norm of the difference
    to the residual stream before, relative to it; exactly 0 where the swap cannot reach. With
    `edits` it is the edited model throughout. Raises PromptError for a layer or a position that
    does not exist, EditError and ModelError.
    """
    check_top_k(top_k, model)
    ids, source_ids = model.encode(prompt), model.encode(source_prompt)
    goal = None if target is None else model.target(prompt, target)
    source_layer = layer if source_layer is None else source_layer
    source_position = len(source_ids) - 1 if source_position is None else source_position
    for place in (layer, source_layer):
        check_in("The model", "layer", place, model.n_layers)
    check_in("The prompt", "token at position", position, len(ids))
    check_in("The source prompt", "token at position", source_position, len(source_ids))
    source = residual_stream(model, source_ids, edits)  # (layer, token, d_model)
    before = residual_stream(model, ids, edits)
    state = before[layer].clone()
    state[position] = source[source_layer, source_position]
    with turn(model, edits, gradients=False):
        above = run_above(model, ids, layer, state)
        runs = {"before": before[-1], "after": above[-1], "source": source[-1]}
        logits = {name: last_logits(model, states) for name, states in runs.items()}
    check_numbers(logits["after"])
    ends = [chances(logits[name], goal) for name in ("before", "after")]
    return Swap(
        prompt=prompt,
        layer=layer,
        position=position,
        token=model.token_text(ids[position]),
        source_prompt=source_prompt,
        source_layer=source_layer,
        source_position=source_position,
        source_token=model.token_text(source_ids[source_position]),
        answers=answer_table(model, logits, top_k),
        target=goal,
        target_probability=tuple(probability for probability, _ in ends),
        target_rank=tuple(rank for _, rank in ends),
        moved=moved_table(model, ids, before, above, layer, position),
    )


def check_in(whose: str, what: str, number: int, count: int) -> None:
    """Refuse what is no whole number from 0 to count - 1, with a sentence that says which are."""
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < count:
        raise PromptError(f"{whose} has no {what} {number}. Choose one from 0 to {count - 1}.")


def run_above(model: LanguageModel, ids: tuple[int, ...], layer: int, state: Tensor) -> Tensor:
    """Run the blocks above `layer` on its residual stream: (token, d_model) -> (layer, token,
    d_model), from `layer` itself up. Use it inside `turn`.

    How the blocks are called (positions, mask) is the same for all of them, and is read from the
    first one.
    """
    with block_calls(model) as calls, ending_after(model, 0):
        model.read(model.embed(ids))
    others, named = calls[0]
    states = [state[None]]
    for block in model.blocks[layer + 1 :]:
        output = block(states[-1], *others, **named)
        states.append(output if isinstance(output, Tensor) else output[0])
    return torch.cat([each.to(state.device) for each in states])


def last_logits(model: LanguageModel, state: Tensor) -> Tensor:
    """(token, d_model) after the last block -> (vocabulary,) after the last token, float32."""
    return model.unembedding(model.final_norm(state[None])[0, -1]).float()


def chances(logits: Tensor, goal: Target | None) -> tuple[float, int | None]:
    """The probability and the rank (0 is best) of a target's first token."""
    if goal is None:
        return float("nan"), None
    probability = (logits[goal.id] - logits.logsumexp(-1)).exp()
    return float(probability), int((logits > logits[goal.id]).sum())


def answer_table(model: LanguageModel, logits: dict[str, Tensor], top_k: int) -> pd.DataFrame:
    tables = []
    for run, values in logits.items():
        best = values.topk(top_k)
        columns = {
            "run": run,
            "token": [model.token_text(i) for i in best.indices.tolist()],
            "probability": (best.values - values.logsumexp(-1)).exp().tolist(),
            "logit": best.values.tolist(),
        }
        tables.append(pd.DataFrame(columns))
    return pd.concat(tables, ignore_index=True)


def moved_table(
    model: LanguageModel,
    ids: tuple[int, ...],
    before: Tensor,
    above: Tensor,
    layer: int,
    position: int,
) -> pd.DataFrame:
    """before: (layer, token, d_model) of all layers; above: from `layer` up."""
    table = cells(model, ids, len(before))
    table["reached"] = reach(len(before), len(ids), layer, position)["reached"]
    old = before[layer:].float()
    gaps, sizes = (above.float() - old).norm(dim=-1), old.norm(dim=-1)
    change = torch.zeros(before.shape[:2])
    change[layer:] = (gaps / sizes.clamp_min(torch.finfo(torch.float32).tiny)).cpu()
    table["change"] = change.flatten().double().numpy()
    return table


def reach(n_layers: int, n_tokens: int, layer: int, position: int) -> pd.DataFrame:
    """Which cells a change of one cell can reach: layer, position, reached; one row a cell.

    In its own layer only itself, since blocks of that layer have run; above, the same token and
    later ones, since no token sees what follows it. Raises PromptError.
    """
    check_in("The model", "layer", layer, n_layers)
    check_in("The prompt", "token at position", position, n_tokens)
    layers = [each for each in range(n_layers) for _ in range(n_tokens)]
    table = pd.DataFrame({"layer": layers, "position": list(range(n_tokens)) * n_layers})
    later = (table["layer"] > layer) & (table["position"] >= position)
    own = (table["layer"] == layer) & (table["position"] == position)
    return table.assign(reached=later | own)


def reaches_the_answer(n_layers: int, n_tokens: int, layer: int, position: int) -> bool:
    """Whether the last layer's last token, where the answer and the loss are read, is in a cell's
    reach.

    Where it is not, delta of the block, of FF1 and of FF2 is zero: in the last layer only the last
    token learns. Raises PromptError.
    """
    check_in("The model", "layer", layer, n_layers)
    check_in("The prompt", "token at position", position, n_tokens)
    return layer < n_layers - 1 or position == n_tokens - 1
