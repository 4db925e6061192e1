"""A short name for exactly a model's weights."""

from __future__ import annotations

import hashlib
import threading
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from core.model.compact import Int8Matrix, sample_of
from core.model.language_model import LanguageModel

_fingerprints: WeakKeyDictionary[LanguageModel, str] = WeakKeyDictionary()
_guard = threading.Lock()


def fingerprint(model: LanguageModel) -> str:
    """A short name for exactly these weights, the same for every precision they are loaded in.

    A hash of the sizes, of a few settings and of up to 256 values of each weight; computed once
    for a model (a few milliseconds for a small one).
    """
    with _guard:
        known = _fingerprints.get(model)
    if known is None:
        known = compute_fingerprint(model)
        with _guard:
            _fingerprints[model] = known
    return known


def compute_fingerprint(model: LanguageModel) -> str:
    config = model.network.config
    epsilon = getattr(config, model.architecture.norm_epsilon)
    settings = (config.model_type, model.n_layers, config.num_attention_heads, epsilon)
    digest = hashlib.sha256(repr(settings).encode())
    for name, (shape, sample) in sorted(samples(model.network).items()):
        digest.update(f"{name} {shape}".encode())
        digest.update(sample.cpu().view(torch.int16).numpy().tobytes())
    return digest.hexdigest()[:32]


def samples(network: nn.Module) -> dict[str, tuple[tuple[int, ...], Tensor]]:
    """The shape and some values of each weight by its name; 8-bit ones as they were before."""
    rounded = {name: m for name, m in network.named_modules() if isinstance(m, Int8Matrix)}
    parts = {
        name: (tuple(weight.shape), sample_of(weight))
        for name, weight in network.named_parameters()
        if name.rpartition(".")[0] not in rounded or name.endswith(".bias")
    }
    return parts | {f"{n}.weight": (tuple(m.stored_shape), m.sample) for n, m in rounded.items()}
