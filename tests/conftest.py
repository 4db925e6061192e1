"""Small random models of each architecture, built in memory, with the built-in tokenizers."""

from pathlib import Path

import pytest
import torch
from transformers import (
    AutoTokenizer,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerBase,
)

from core import LanguageModel, is_on_this_machine, load_model
from core.model.catalog import BUILTIN_FOLDER

PROMPT, TARGET = "Obama grew up in", "Paris"
SHARED = Path(__file__).resolve().parent.parent.parent / "shared"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """For two workers, which take whole files: the slowest come first."""
    items.sort(key=lambda item: "tests/browser/" not in item.nodeid)


def tokenizer_of(name: str) -> PreTrainedTokenizerBase:
    return AutoTokenizer.from_pretrained(BUILTIN_FOLDER / name)


def random_network(kind: str, vocabulary: int, seed: int = 0, **sizes: int):
    """A seeded random network with weights large enough that its layers differ."""
    torch.manual_seed(seed)
    if kind == "gpt2":
        config = GPT2Config(
            vocab_size=vocabulary,
            n_positions=sizes.get("context", 80),
            n_embd=32,
            n_layer=sizes.get("layers", 4),
            n_head=4,
            initializer_range=0.2,
            bos_token_id=0,
            eos_token_id=0,
        )
        network = GPT2LMHeadModel(config)
    else:
        config = LlamaConfig(
            vocab_size=vocabulary,
            hidden_size=32,
            intermediate_size=88,
            num_hidden_layers=sizes.get("layers", 4),
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=sizes.get("context", 80),
            initializer_range=0.2,
        )
        network = LlamaForCausalLM(config)
    with torch.no_grad():  # biases and norms begin at 0 and 1: make them count
        for parameter in network.parameters():
            if parameter.dim() == 1:
                parameter.add_(0.1 * torch.randn_like(parameter))
    return network


def random_model(kind: str, **sizes: int) -> LanguageModel:
    tokenizer = tokenizer_of({"gpt2": "tiny-gpt2", "llama": "tiny-llama2"}[kind])
    return LanguageModel(random_network(kind, len(tokenizer), **sizes), tokenizer)


@pytest.fixture(params=["gpt2", "llama"])
def model(request: pytest.FixtureRequest) -> LanguageModel:
    """A fresh random model; each test runs once for either architecture."""
    return random_model(request.param)


REAL = "smollm2-135m"


@pytest.fixture(scope="session")
def real_model() -> LanguageModel:
    """The pretrained network, for tests marked "real"; they are skipped where it is not here."""
    if not is_on_this_machine(REAL):
        pytest.skip(f"{REAL} is not on this machine: make real-model fetches it")
    return load_model(REAL)


@pytest.fixture(scope="session", autouse=True)
def _shared_cache(tmp_path_factory):
    """Second moments of the seeded random models, computed once for all tests of a run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BACKWARD_LENS_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield
