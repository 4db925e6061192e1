"""A MEND network before its training: it passes on what it gets, normalised, at a fitting size."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from core.editing.mend_network import (
    LAYERS,
    MendNetwork,
    Site,
    expected_shapes,
    shape_name,
    site_shapes,
)
from core.errors import EditError
from core.model.edits import Change
from core.model.fingerprint import fingerprint
from core.model.language_model import LanguageModel

SHARE = 0.01  # of a weight's norm: the size of its first changes
FLOOR = 0.05  # of the mean deviation: dimensions that hardly vary are not blown up
Steps = Sequence[Mapping[Site, Change]]  # a fact's gradient step, by site


def first_network(
    model: LanguageModel, sites: Sequence[Site], steps: Steps, *, rank: int, seed: int
) -> MendNetwork:
    """The identity, with normalisers of these gradient steps, which stay as they are.

    V is random, so that U, which is 0, can learn. alpha makes the mean change of a matrix SHARE of
    its norm. Raises EditError where some site gets no gradient at all.
    """
    sites, shapes = tuple(sites), site_shapes(model, sites)
    ranks = {
        f"{shape_name(shape)}.{layer}": min(rank, sum(shape))
        for shape in shapes
        for layer in LAYERS
    }
    tensors = {
        name: torch.zeros(shape) for name, shape in expected_shapes(sites, shapes, ranks).items()
    }
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in tensors.items():
        if name.endswith(".mode_scale"):
            tensor.fill_(1)
        elif name.endswith(".v"):
            torch.nn.init.normal_(tensor, std=tensor.shape[1] ** -0.5, generator=generator)
    for place, site in enumerate(sites):
        shape, mode = shapes[place], shapes[:place].count(shapes[place])
        for kind, values in zip(("x", "delta"), seen_at(site, steps), strict=True):
            mean, deviation = normaliser(values)
            tensors[f"{shape_name(shape)}.{kind}_mean"][mode] = mean
            tensors[f"{shape_name(shape)}.{kind}_std"][mode] = deviation
    tensors["alpha"].fill_(-1)
    network = MendNetwork(model.name, fingerprint(model), sites, shapes, tensors)
    tensors["alpha"] *= first_sizes(model, network, steps)
    return network


def seen_at(site: Site, steps: Steps) -> tuple[Tensor, Tensor]:
    """x and delta of all tokens of all steps that have both: (token, d_in), (token, d_out)."""
    x = torch.cat([step[site].u.mT for step in steps])
    delta = torch.cat([-step[site].v.mT for step in steps])
    there = (x != 0).any(-1) & (delta != 0).any(-1)
    if not there.any():
        raise EditError(
            f"No fact gives a gradient in {site[0]} of layer {site[1]}, so that MEND cannot be "
            "trained there. Choose other layers or facts."
        )
    return x[there], delta[there]


def normaliser(values: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation of each dimension, (token, width) -> (width,); floored."""
    values = values.double()
    deviation = values.std(0, correction=0)
    typical = deviation.mean().clamp_min(1e-30)
    if len(values) == 1:  # one token has no deviation: its size stands for it
        typical = values.square().mean().sqrt().clamp_min(1e-30)
    return values.mean(0).float(), deviation.clamp_min(FLOOR * typical).float()


def first_sizes(model: LanguageModel, network: MendNetwork, steps: Steps) -> Tensor:
    """What alpha must be multiplied with, for each site: (site,)."""
    norms: dict[Site, list[float]] = {site: [] for site in network.sites}
    for step in steps:
        for change in network.edit(list(step.values())):
            norms[change.matrix, change.layer].append(frobenius(change))
    sizes = []
    for site, values in norms.items():
        modules = model.modules(*site)
        weight = math.sqrt(sum(float(m.weight.float().square().sum()) for m in modules))
        sizes.append(SHARE * weight / max(sum(values) / len(values), 1e-30))
    return torch.tensor(sizes)


def frobenius(change: Change) -> float:
    """The norm of a change, its factors never multiplied out."""
    u, v = change.u.detach().double(), change.v.detach().double()
    return float(((u.mT @ u) * (v.mT @ v)).sum().clamp_min(0).sqrt())
