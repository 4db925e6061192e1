"""MEND networks of any model, for tests: random ones, and the one that changes nothing."""

from __future__ import annotations

import torch

from core import LanguageModel, fingerprint, keep_mend_network
from core.editing.mend_network import (
    MendNetwork,
    expected_shapes,
    shape_name,
    site_shapes,
    usual_sites,
)


def random_mend(model: LanguageModel, seed: int = 0, rank: int = 3) -> MendNetwork:
    """Every tensor counts; the same for models of the same shapes."""
    return mend_of(model, rank, lambda shape, g: 0.3 * torch.randn(shape, generator=g), seed)


def ready(model: LanguageModel, method: str) -> None:
    """Give the model what the method needs: MEND a network, the same for like shapes."""
    if method == "mend":
        keep_mend_network(model, random_mend(model))


def identity_mend(model: LanguageModel, alpha: float = -1.0) -> MendNetwork:
    """The edit is -alpha times the plain gradient step."""
    network = mend_of(model, 3, lambda shape, g: torch.zeros(shape), 0)
    for name, tensor in network.tensors.items():
        if name == "alpha":
            tensor.fill_(alpha)
        elif name.endswith(("_std", "scale")):
            tensor.fill_(1)
    return network


def mend_of(model: LanguageModel, rank: int, values, seed: int) -> MendNetwork:
    generator = torch.Generator().manual_seed(seed)
    sites = usual_sites(model, 2)
    shapes = site_shapes(model, sites)
    ranks = {f"{shape_name(shape)}.{layer}": rank for shape in shapes for layer in (0, 1)}
    tensors = {
        name: values(shape, generator).clone()
        for name, shape in expected_shapes(sites, shapes, ranks).items()
    }
    for name, tensor in tensors.items():
        if name.endswith("_std"):
            tensor.abs_().add_(0.5)
    return MendNetwork(model.name, fingerprint(model), sites, shapes, tensors, epsilon=0.0)
