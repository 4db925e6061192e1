"""Single neurons of a gradient, from its factors alone (Tables 2-5, Figures 7-9).

A gradient G = sum_i x_i^T delta_i has one neuron of size d_model for each unit of the MLP: column
j of FF1's gradient is sum_i delta_i[j] x_i, row k of FF2's is sum_i x_i[k] delta_i (section 4.2).
Both are C^T S, with the coefficients C (token, unit) and the spanning vectors S (token, d_model).

Nothing of the size of G is built. Norms and cosines come from the small Gram matrix S S^T. In the
logit lens, ln_f(s) D is linear in s up to the norm's scale, so that the logits of all neurons are
combinations of the spanning vectors' own: a product over tokens instead of over d_model.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor, nn

from core.errors import PromptError
from core.gradients.lens import silent, without_words
from core.gradients.similarity import check_layer
from core.gradients.trace import Trace
from core.model.architectures import WRITES_TO_RESIDUAL
from core.model.capture import exclusive
from core.model.projection import LOGIT_BYTES, check_top_k, extremes, project, token_lists

NEURON_MATRICES = ("ff1", "gate", "ff2")
GROUPS = ("largest", "median", "smallest")
OVERLAP_TOKENS = 100  # of the paper's overlap


@dataclass(frozen=True)
class Span:
    """A gradient as coefficients and spanning vectors: neuron k is coefficients[:, k] @ vectors."""

    coefficients: Tensor  # (token, unit)
    vectors: Tensor  # (token, d_model)

    @property
    def norms(self) -> Tensor:
        """L2 norms of all neurons, (unit,) in float64: sqrt(c^T (S S^T) c)."""
        vectors, c = self.vectors.double(), self.coefficients.double()
        # R^T R = S S^T, by QR: the Gram matrix itself would lose half the digits.
        r = torch.linalg.qr(vectors.mT, mode="r").R  # (min(token, d_model), token)
        return torch.linalg.vector_norm(r @ c, dim=0)

    def neurons(self, units: Tensor) -> Tensor:
        """The chosen neurons themselves: (k,) -> (k, d_model)."""
        return self.coefficients[:, units].mT @ self.vectors


def spanning_set(trace: Trace, layer: int, matrix: str = "ff2") -> Span:
    """The coefficients and spanning vectors of an MLP matrix's gradient in one layer.

    FF1 and Llama's gate are spanned by their inputs, FF2 by its VJPs. Raises PromptError for
    another matrix or a layer that the model does not have.
    """
    if matrix not in NEURON_MATRICES:
        names = ", ".join(name for name in NEURON_MATRICES if name in trace.factors)
        raise PromptError(f"Neurons are those of an MLP matrix. Choose one of: {names}.")
    factors = trace.matrix(matrix)
    check_layer(trace, layer)
    x, delta = factors.x[layer].float(), factors.delta[layer].float()
    return Span(x, delta) if matrix in WRITES_TO_RESIDUAL else Span(delta, x)


def gradient_neurons(
    trace: Trace,
    layer: int,
    matrix: str = "ff2",
    *,
    units: tuple[int, ...] = (),
    group_size: int = 5,
    top_k: int = 10,
    normalize: bool = False,
) -> pd.DataFrame:
    """Neurons of a gradient, read in the vocabulary (Tables 2-5).

    Those named in `units` (group "chosen"), or else the `group_size` largest, those around the
    median and the smallest by norm, and the zero vector, whose tokens are those of softmax(beta D)
    and mean nothing; a final norm without bias gives a vector of zeros no tokens at all. One row a
    neuron: group, order (0 is the largest norm), neuron, norm (L2), top_tokens, bottom_tokens
    (lists, most extreme first). The update subtracts the neuron: it moves away from its top tokens
    and towards its bottom ones. Raises PromptError.
    """
    check_top_k(top_k, trace.model)
    span = spanning_set(trace, layer, matrix)
    norms = span.norms
    ranking = norms.argsort(descending=True, stable=True)
    width = len(ranking)
    bad = [unit for unit in units if not 0 <= unit < width]
    if bad:
        raise PromptError(f"The matrix has no neuron {bad[0]}. Choose one from 0 to {width - 1}.")
    if group_size < 1:
        raise PromptError(f"group_size is {group_size}; choose at least 1.")
    order_of = torch.empty_like(ranking)
    order_of[ranking] = torch.arange(width, device=ranking.device)
    size = min(group_size, width)
    middle = max(0, (width - size) // 2)
    groups = {
        "largest": ranking[:size],
        "median": ranking[middle : middle + size],
        "smallest": ranking[width - size :],
    }
    if units:
        groups = {"chosen": torch.tensor(units, device=ranking.device)}
    chosen = torch.cat(list(groups.values()))
    vectors = span.neurons(chosen)
    names = [group for group, members in groups.items() for _ in members]
    if not units:
        vectors = torch.cat([vectors, torch.zeros_like(vectors[:1])])
    seen = project(trace.model, vectors, top_k=top_k, bottoms=True, normalize=normalize)
    table = pd.DataFrame({"group": names})
    table["order"] = pd.array(order_of[chosen].tolist(), dtype="Int64")
    table["neuron"] = pd.array(chosen.tolist(), dtype="Int64")
    table["norm"] = norms[chosen].tolist()
    if not units:
        table.loc[len(table)] = ["zero vector", pd.NA, pd.NA, 0.0]
    blank = silent(trace.model, vectors)
    for column, ids in (("top_tokens", seen.top_ids), ("bottom_tokens", seen.bottom_ids)):
        table[column] = without_words(token_lists(trace.model, ids), blank)
    table.attrs["note"] = trace.target.note
    return table


def gradient_span(
    trace: Trace, layer: int, matrix: str = "ff2", *, neurons: int = 8, top_k: int = 5
) -> pd.DataFrame:
    """A gradient as the sum of outer products that it is, for its largest neurons (Figure 2).

    One row per neuron and prompt token: order (0 is the largest norm), neuron, position, token,
    coefficient (how much of the token's spanning vector the neuron holds: delta_i[j] of FF1,
    x_i[k] of FF2) and tokens, what the spanning vector says: the most probable of x_i, but the
    least probable of delta_i, as the update subtracts it; an empty list for a vector of zeros.
    Raises PromptError.
    """
    check_top_k(top_k, trace.model)
    span = spanning_set(trace, layer, matrix)
    ranking = span.norms.argsort(descending=True, stable=True)[: max(1, neurons)]
    reads_bottom = matrix in WRITES_TO_RESIDUAL
    seen = project(trace.model, span.vectors, top_k=top_k, bottoms=reads_bottom)
    said = token_lists(trace.model, seen.bottom_ids if reads_bottom else seen.top_ids)
    silent = (span.vectors == 0).all(-1).tolist()
    said = [[] if zero else tokens for zero, tokens in zip(silent, said, strict=True)]
    n = len(trace.tokens)
    table = pd.DataFrame(
        {
            "order": [order for order in range(len(ranking)) for _ in range(n)],
            "neuron": ranking.cpu().repeat_interleave(n).numpy(),
            "position": list(range(n)) * len(ranking),
            "token": list(trace.tokens) * len(ranking),
            "coefficient": span.coefficients[:, ranking].mT.flatten().cpu().numpy(),
            "tokens": said * len(ranking),
        }
    )
    table.attrs["note"] = trace.target.note
    return table


def neuron_overlap(
    trace: Trace, layer: int, matrix: str = "ff2", *, tokens: int = OVERLAP_TOKENS
) -> pd.DataFrame:
    """How much each neuron of a gradient looks like each of its spanning vectors (Figures 7-9).

    One row per neuron, in order of norm, and prompt token: order (0 is the largest norm), neuron,
    norm (L2), position, token, coefficient, overlap and cosine. The neuron is the sum of
    coefficient times spanning vector. Overlap is how many of the neuron's `tokens`
    most probable tokens are also the spanning vector's; negative, with the flipped vector's count,
    where the flipped vector overlaps more. Cosine is NaN for a vector of zeros. Spanning vectors
    that are zero have no tokens: their overlap is 0. Raises PromptError.
    """
    model = trace.model
    check_top_k(tokens, model)
    span = spanning_set(trace, layer, matrix)
    norms = span.norms
    ranking = norms.argsort(descending=True, stable=True)
    n, width = span.coefficients.shape
    both = torch.cat([span.vectors, -span.vectors])
    of_spans = project(model, both, top_k=tokens).top_ids  # (2 token, tokens)
    member = torch.zeros(2 * n, model.vocabulary_size, dtype=torch.int16)
    member.scatter_(1, of_spans, 1)
    counts = torch.cat(
        [
            torch.stack([row[ids].sum(-1) for row in member])
            for ids in top_tokens_of(trace, span, ranking, tokens)
        ],
        dim=1,
    )  # (2 token, unit)
    straight, flipped = counts[:n], counts[n:]
    overlap = torch.where(flipped > straight, -flipped, straight)
    lengths = torch.linalg.vector_norm(span.vectors.double(), dim=-1)
    overlap[(lengths == 0).cpu()] = 0
    overlap[:, (norms[ranking] == 0).cpu()] = 0
    gram = span.vectors.double() @ span.vectors.double().mT
    cosine = gram @ span.coefficients[:, ranking].double() / (lengths[:, None] * norms[ranking])
    table = pd.DataFrame(
        {
            "order": torch.arange(width).repeat_interleave(n).numpy(),
            "neuron": ranking.cpu().repeat_interleave(n).numpy(),
            "norm": norms[ranking].cpu().repeat_interleave(n).numpy(),
            "position": torch.arange(n).repeat(width).numpy(),
            "token": list(trace.tokens) * width,
            "coefficient": span.coefficients[:, ranking].mT.flatten().cpu().numpy(),
            "overlap": overlap.mT.flatten().numpy(),
            "cosine": cosine.clamp(-1, 1).mT.flatten().cpu().numpy(),
        }
    )
    table.attrs["note"] = trace.target.note
    return table


def top_tokens_of(trace: Trace, span: Span, units: Tensor, k: int) -> Iterator[Tensor]:
    """The k most probable tokens of neurons, in chunks (some units, k), on the CPU.

    With s' = s - mean(s) for LayerNorm and s' = s for RMSNorm, a neuron sum_i c_i s_i has the
    logits sum_i (c_i / sigma) (gamma s'_i) D + beta D: one product over tokens. Dividing by sigma
    matters only beside beta D.
    """
    model = trace.model
    norm, config = model.final_norm, model.network.config
    epsilon = getattr(config, model.architecture.norm_epsilon)
    weight = model.unembedding.weight
    vectors = span.vectors.double()
    if isinstance(norm, nn.LayerNorm):
        vectors = vectors - vectors.mean(-1, keepdim=True)
    centred = Span(span.coefficients, vectors)
    sigma = (centred.norms.square() / model.d_model + epsilon).sqrt()
    with exclusive(model, gradients=False):
        basis = (vectors * norm.weight).float()
        if getattr(norm, "bias", None) is not None:
            basis = torch.cat([basis, norm.bias.float()[None]])
        logits_of_basis = product_with_unembedding(basis, weight)
    scaled = (span.coefficients.double() / sigma).mT.float()  # (unit, token)
    if len(basis) > scaled.shape[1]:
        scaled = torch.cat([scaled, torch.ones_like(scaled[:, :1])], 1)
    scaled = scaled[units].to(weight.device)
    for chunk in scaled.split(max(1, LOGIT_BYTES // (4 * model.vocabulary_size))):
        yield extremes(chunk @ logits_of_basis, k)[1].cpu()


def product_with_unembedding(rows: Tensor, weight: Tensor) -> Tensor:
    """rows D in float32: (row, d_model) -> (row, vocabulary)."""
    rows = rows.to(weight.device)
    if weight.dtype == torch.float32:
        return rows @ weight.mT
    return torch.cat([rows @ part.float().mT for part in weight.split(4096)], 1)
