"""A short name for exactly a model's weights."""

from __future__ import annotations

import hashlib
import threading
from weakref import WeakKeyDictionary

import torch

from core.model.language_model import LanguageModel

SAMPLES = 256  # values of each weight that go into a model's fingerprint
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
    for name, weight in sorted(model.network.named_parameters()):
        digest.update(f"{name} {tuple(weight.shape)}".encode())
        flat = weight.detach().flatten()
        sample = flat[:: max(1, len(flat) // SAMPLES)][:SAMPLES]
        # bfloat16 is the coarsest precision a model is loaded in
        digest.update(sample.to("cpu", torch.bfloat16).view(torch.int16).numpy().tobytes())
    return digest.hexdigest()[:32]
