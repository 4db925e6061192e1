"""One forward and one backward pass: the inputs and VJPs from which every picture is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor

from core.errors import PromptError
from core.gradients.segments import find_subject
from core.model.architectures import MATRICES
from core.model.capture import capture, check_numbers
from core.model.edited import turn
from core.model.edits import Edit
from core.model.language_model import LanguageModel
from core.model.tokens import Target


@dataclass(frozen=True)
class Factors:
    """The gradient of one matrix in every layer: dL/dW = sum_i x_i^T delta_i (eq. 8)."""

    x: Tensor  # (layer, token, d_in)
    delta: Tensor  # (layer, token, d_out), the VJP of the matrix's output


@dataclass(frozen=True)
class Trace:
    """What one prompt and one target teach a model. Immutable; tensors are on the model's device.

    L = -log p(target's first token | prompt), in nats, read at the last prompt position.
    """

    model: LanguageModel
    prompt: str
    target: Target
    subject: str | None
    ids: tuple[int, ...]
    tokens: tuple[str, ...]
    factors: MappingProxyType[str, Factors]  # by matrix name
    logits: Tensor  # (vocabulary,) after the last prompt token, float32
    loss: float
    answer_id: int
    edits: tuple[Edit, ...] = ()  # active while it was made

    @property
    def answer(self) -> str:
        """The token that the model itself finds most probable after the prompt."""
        return self.model.token_text(self.answer_id)

    @property
    def prompt_length(self) -> int:
        """Number of prompt tokens, BOS included."""
        return len(self.ids)

    def matrix(self, name: str) -> Factors:
        """The factors of a matrix; raises PromptError with the names that this model has."""
        if name not in self.factors:
            names = ", ".join(self.factors)
            raise PromptError(f"This model has no matrix {name!r}. Choose one of: {names}.")
        return self.factors[name]


def trace(
    model: LanguageModel,
    prompt: str,
    target: str,
    *,
    subject: str | None = None,
    edits: Sequence[Edit] = (),
) -> Trace:
    """Run `prompt` forward and the loss of `target` backward, once (eq. 8).

    Gradients flow to activations only: parameters are frozen, and the matrices' gradients stay in
    factors. With `edits` it is the edited model that is traced. Raises PromptError if the prompt
    or target is empty or too long, or if `subject` is not a part of the prompt; EditError for an
    edit that does not fit; ModelError if the model's output is not a number.
    """
    ids, goal = model.encode(prompt), model.target(prompt, target)
    if subject is not None:
        find_subject(prompt, subject)
    names = tuple(m for m in MATRICES if m == "block" or m in model.matrices)
    with turn(model, edits, gradients=True):
        run = forward_backward(model, model.embed(ids), [len(ids)], [goal.id], names)
        factors, inputs = {}, {}
        for name in names:
            layers = [run.sites[name, layer] for layer in range(model.n_layers)]
            key = layers[0].x.data_ptr()  # matrices that read the same input share its stack
            if key not in inputs:
                inputs[key] = stack([site.x for site in layers])
            factors[name] = Factors(inputs[key], stack([site.delta for site in layers]))
        if not edits:
            model.remember_residual(ids, stack(run.residual))
    logits = run.logits[0]
    return Trace(
        model=model,
        prompt=prompt,
        target=goal,
        subject=subject,
        ids=ids,
        tokens=tuple(model.token_text(i) for i in ids),
        factors=MappingProxyType(factors),
        logits=logits,
        loss=run.losses[0].item(),
        answer_id=int(logits.argmax()),
        edits=tuple(edits),
    )


@dataclass(frozen=True)
class BatchPass:
    """One forward and one backward pass of several prompts, padded on the right.

    The models are causal, so that padding changes nothing before it, and its own VJPs are zero.
    """

    logits: Tensor  # (row, vocabulary) after each prompt's last token, float32
    losses: Tensor  # (row,) in nats
    sites: dict[tuple[str, int], Factors]  # by (matrix, layer); tensors are (row, token, width)
    residual: list[Tensor]  # (row, token, d_model) after each block, if "block" was asked for


def forward_backward(
    model: LanguageModel,
    embeddings: Tensor,
    lengths: Sequence[int],
    target_ids: Sequence[int],
    matrices: tuple[str, ...],
) -> BatchPass:
    """The inputs and VJPs of `matrices` for prompts of these lengths; use it inside `exclusive`.

    embeddings: (row, token, d_model). Each row's loss is read at its own last position. Raises
    ModelError if the model's output is not a number.
    """
    with capture(model, matrices) as activations:
        hidden = model.read(embeddings.requires_grad_())
    ends = hidden[torch.arange(len(lengths)), torch.as_tensor(lengths) - 1]
    logits = model.unembedding(ends).float()  # (row, vocabulary)
    check_numbers(logits)
    wanted = torch.as_tensor(target_ids, device=logits.device)
    losses = torch.nn.functional.cross_entropy(logits, wanted, reduction="none")
    outputs = [z for site in activations.values() for z in site.outputs]
    gradients = iter(torch.autograd.grad(losses.sum(), outputs))
    sites = {
        place: Factors(site.x.detach(), torch.cat([next(gradients) for _ in site.outputs], -1))
        for place, site in activations.items()
    }
    residual = [site.outputs[0].detach() for (m, _), site in activations.items() if m == "block"]
    return BatchPass(logits.detach(), losses.detach(), sites, residual)


def embed_rows(model: LanguageModel, rows: Sequence[tuple[int, ...]]) -> Tensor:
    """Input embeddings of several prompts, padded on the right: (row, longest, d_model)."""
    longest = max(map(len, rows))
    return torch.cat([model.embed(row + (0,) * (longest - len(row))) for row in rows])


def residual_stream(
    model: LanguageModel, ids: tuple[int, ...], edits: Sequence[Edit] = ()
) -> Tensor:
    """The residual stream after each block: (layer, token, d_model). One forward pass, or none
    if the prompt was traced a moment ago; that of an edited model is never kept."""
    with turn(model, edits, gradients=False):
        residual = None if edits else model.remembered_residual(ids)
        if residual is None:
            with capture(model, ("block",)) as activations:
                hidden = model.read(model.embed(ids))
            check_numbers(hidden)
            layers = range(model.n_layers)
            residual = stack([activations["block", layer].outputs[0] for layer in layers])
            if not edits:
                model.remember_residual(ids, residual)
    return residual


def stack(rows: list[Tensor]) -> Tensor:
    """(1, token, width) of each layer -> (layer, token, width), without its history.

    Layers of a model that is spread over several devices come together on the first one.
    """
    return torch.stack([row.detach()[0].to(rows[0].device) for row in rows])
