"""Passes that begin in the middle: above an edited layer, from an edited token on.

What lies below the layer or before the token does not change while a value is searched for. One
plain pass keeps it: the residual stream after the layer, and what the blocks above read of the
earlier tokens, their attention's keys and values. Then only the rest is run again and again.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import pad
from transformers import DynamicCache

from core.model.capture import BlockCall, block_calls, check_numbers
from core.model.forcing import padded
from core.model.language_model import LanguageModel


@dataclass(frozen=True)
class Kept:
    """What does not change of some rows, each from its own first token (its start) on."""

    layer: int
    starts: tuple[int, ...]
    inputs: Tensor  # (row, token, d_mlp), FF2's in the layer
    residual: Tensor  # (row, token, d_model) after the layer's block
    earlier: Mapping[int, tuple[Tensor, Tensor]]  # keys, values: (row, head, earlier token, d_head)
    calls: Mapping[int, BlockCall]
    positions: Tensor  # (row, token), counted from the rows' beginnings
    mask: Tensor  # (row, 1, token, earlier token + token), added to attention's scores


class Earlier:
    """Stands in for a cache: gives the blocks the earlier tokens, and keeps nothing."""

    def __init__(self, kept: Mapping[int, tuple[Tensor, Tensor]]) -> None:
        self.kept = kept

    def update(
        self, keys: Tensor, values: Tensor, layer: int, *_: object, **__: object
    ) -> tuple[Tensor, Tensor]:
        before = self.kept[layer]
        return torch.cat([before[0], keys], 2), torch.cat([before[1], values], 2)


def keep(
    model: LanguageModel, rows: Sequence[tuple[int, ...]], starts: Sequence[int], layer: int
) -> Kept:
    """Run whole rows of token ids once and keep what does not change. Use it inside `turn`."""
    cache, seen = DynamicCache(), {}
    hooks = [
        module.register_forward_hook(noting(seen, name))
        for name, (module,) in (
            ("ff2", model.modules("ff2", layer)),
            ("block", model.modules("block", layer)),
        )
    ]
    try:
        with block_calls(model) as calls, torch.no_grad():
            check_numbers(
                model.network.base_model(
                    inputs_embeds=padded(model, rows), past_key_values=cache, use_cache=True
                ).last_hidden_state
            )
    finally:
        for hook in hooks:
            hook.remove()
    first = torch.tensor(starts)
    lengths = torch.tensor([len(row) for row in rows])
    tokens = torch.arange(int((lengths - first).max()))
    longest, width = int(lengths.max()), int(first.max())
    positions = (first[:, None] + tokens).clamp(max=longest - 1)
    lines = torch.arange(len(rows))[:, None]
    # Earlier tokens stand on the right: each row's last one just before its start.
    places = first[:, None] - width + torch.arange(width)
    hidden = places < 0
    places = places.clamp(min=0)
    earlier = {
        i: tuple(
            part[lines.to(part.device), :, places.to(part.device)].transpose(1, 2)
            for part in (cache.layers[i].keys, cache.layers[i].values)
        )
        for i in range(layer + 1, model.n_layers)
    }
    residual = seen["block"][1]
    return Kept(
        layer=layer,
        starts=tuple(starts),
        inputs=seen["ff2"][0][lines, positions],
        residual=residual[lines, positions],
        earlier=earlier,
        calls=calls,
        positions=positions,
        mask=mask_of(hidden, len(tokens), residual.dtype).to(residual.device),
    )


def noting(seen: dict[str, tuple[Tensor, Tensor]], name: str):
    def note(_: nn.Module, inputs: tuple, output: Tensor | tuple) -> None:
        seen[name] = (inputs[0], output if isinstance(output, Tensor) else output[0])

    return note


def mask_of(hidden: Tensor, tokens: int, dtype: torch.dtype) -> Tensor:
    """hidden (row, earlier token): padding. Later tokens are hidden, too."""
    later = torch.ones(tokens, tokens, dtype=torch.bool).triu(1)
    whole = torch.cat(
        [
            hidden[:, None].expand(-1, tokens, -1),
            later.expand(len(hidden), -1, -1),
        ],
        2,
    )
    return torch.zeros(whole.shape, dtype=dtype).masked_fill(whole, torch.finfo(dtype).min)[:, None]


def joined(parts: Sequence[Kept]) -> Kept:
    """The rows of several together; of the same layer. Their earlier tokens stand on the right, as
    in each part, their kept ones on the left."""
    if len(parts) == 1:
        return parts[0]
    tokens = max(part.residual.shape[1] for part in parts)
    widths = [part.mask.shape[-1] - part.mask.shape[-2] for part in parts]

    def longer(states: Sequence[Tensor]) -> Tensor:
        return torch.cat([pad(s, (0, 0, 0, tokens - s.shape[1])) for s in states])

    def wider(states: Sequence[Tensor]) -> Tensor:  # (row, head, earlier token, d_head)
        more = [max(widths) - width for width in widths]
        return torch.cat([pad(s, (0, 0, n, 0)) for s, n in zip(states, more, strict=True)])

    longest = max(parts, key=lambda part: int(part.positions.max()))
    return Kept(
        layer=parts[0].layer,
        starts=tuple(start for part in parts for start in part.starts),
        inputs=longer([part.inputs for part in parts]),
        residual=longer([part.residual for part in parts]),
        earlier={
            i: tuple(wider([part.earlier[i][which] for part in parts]) for which in (0, 1))
            for i in parts[0].earlier
        },
        calls=longest.calls,
        positions=torch.cat(
            [pad(part.positions, (0, tokens - part.positions.shape[1])) for part in parts]
        ),
        mask=torch.cat([wider_mask(part.mask, max(widths), tokens) for part in parts]),
    )


def wider_mask(mask: Tensor, width: int, tokens: int) -> Tensor:
    """(row, 1, token, earlier token + token), for more of both; what is new is hidden."""
    had = mask.shape[2]
    own = mask.shape[3] - had
    whole = mask.new_full((len(mask), 1, tokens, width + tokens), torch.finfo(mask.dtype).min)
    whole[:, :, :had, width - own : width + had] = mask
    return whole


def run_on(
    model: LanguageModel, kept: Kept, rows: Sequence[tuple[int, ...]], added: Tensor
) -> Tensor:
    """The final norm's output if `added` joins the residual stream after the kept layer.

    Both are (row, token, d_model), for the kept tokens. Use it inside `turn`, with the edits that
    were active when they were kept.
    """
    state, earlier = kept.residual + added.to(kept.residual.dtype), Earlier(kept.earlier)
    for i in range(kept.layer + 1, model.n_layers):
        output = model.blocks[i](state, **arguments(model.blocks[i], kept, i, earlier))
        state = output if isinstance(output, Tensor) else output[0]
    return model.final_norm(state)


def arguments(block: nn.Module, kept: Kept, layer: int, earlier: Earlier) -> dict[str, object]:
    """As the model called the block, but for the kept tokens."""
    others, named = kept.calls[layer]
    names = list(inspect.signature(block.forward).parameters)[1:]
    given = dict(zip(names, others, strict=False)) | named
    given |= {"past_key_values": earlier, "attention_mask": kept.mask, "use_cache": False}
    if "position_ids" in given:
        given["position_ids"] = kept.positions
    if given.get("position_embeddings") is not None:
        given["position_embeddings"] = tuple(
            part.expand(len(kept.positions), -1, -1)[
                torch.arange(len(kept.positions))[:, None], kept.positions
            ]
            for part in given["position_embeddings"]
        )
    return given


def run_all(
    model: LanguageModel, kept: Kept, rows: Sequence[tuple[int, ...]], added: Tensor
) -> Tensor:
    """What `run_on` gives, by a plain pass over whole rows: the reference for tests and timings."""

    def add(_: nn.Module, inputs: tuple, output: Tensor | tuple) -> Tensor | tuple:
        first = output if isinstance(output, Tensor) else output[0]
        first = first.clone()
        for i, (row, start) in enumerate(zip(rows, kept.starts, strict=True)):
            first[i, start : len(row)] += added[i, : len(row) - start].to(first.device, first.dtype)
        return first if isinstance(output, Tensor) else (first, *output[1:])

    hook = model.blocks[kept.layer].register_forward_hook(add)
    try:
        hidden = model.read(padded(model, rows))
    finally:
        hook.remove()
    return hidden[torch.arange(len(rows))[:, None], kept.positions]
