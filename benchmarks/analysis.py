"""How close the analysis is to the hardware's floor: python -m benchmarks.analysis

A random model of GPT-2 small's size with the real vocabulary size. Everything is measured in one
run, side by side and in turns, on prompts that are new each time:
(a) trace + both lens tables against the floor: one bare forward and backward pass to the
    embeddings and one matrix product of the size of both projections;
(b) all ranks of one prompt against materialising each gradient and torch.linalg.matrix_rank;
(c) the peak of memory above the loaded model.
"""

from __future__ import annotations

import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel

from core import LanguageModel, backward_lens, forward_lens, gradient_rank, trace
from core.gradients.trace import Trace
from core.model.catalog import BUILTIN_FOLDER

SHARED = Path(__file__).resolve().parent.parent.parent / "shared" / "tokenizers" / "gpt2"
LENGTHS = (8, 64)
ROUNDS = 9
TARGET = "Paris"


def small_model() -> LanguageModel:
    """GPT-2 small with random weights; the real tokenizer where it is, else the built-in one."""
    torch.manual_seed(0)
    network = GPT2LMHeadModel(GPT2Config())
    folder = SHARED if SHARED.is_dir() else BUILTIN_FOLDER / "tiny-gpt2"
    return LanguageModel(network, AutoTokenizer.from_pretrained(folder))


def prompt_of(model: LanguageModel, length: int, rng: random.Random) -> str:
    """Random words that make exactly `length` tokens."""
    words = [model.token_text(i) for i in range(len(model.tokenizer))]
    words = [w for w in words if w[0] == " " and w[1:].isascii() and w[1:].isalpha()]
    while True:
        prompt = "".join(rng.choices(words, k=length))
        if len(model.encode(prompt)) == length:
            return prompt


def floor(model: LanguageModel, prompt: str, rows: torch.Tensor) -> None:
    """What any program must do: forward, backward to the embeddings, one product with D."""
    embeddings = model.embed(model.encode(prompt)).requires_grad_()
    hidden = model.read(embeddings)
    logits = model.unembedding(hidden[:, -1])
    loss = torch.nn.functional.cross_entropy(logits, torch.zeros(1, dtype=torch.long))
    torch.autograd.grad(loss, embeddings)
    with torch.no_grad():
        rows @ model.unembedding.weight.T


def bare_pass(model: LanguageModel, prompt: str, target: str) -> None:
    """A loss and its gradient at the embeddings, and nothing else."""
    embeddings = model.embed(model.encode(prompt)).detach().requires_grad_()
    logits = model.network(inputs_embeds=embeddings, use_cache=False).logits[0, -1].float()
    loss = -logits.log_softmax(-1)[model.target(prompt, target).id]
    torch.autograd.grad(loss, embeddings)


def analysis(model: LanguageModel, prompt: str) -> None:
    run = trace(model, prompt, TARGET)
    forward_lens(model, prompt, TARGET)
    backward_lens(run)


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def speed(model: LanguageModel, length: int) -> None:
    rng = random.Random(length)
    rows = torch.randn(2 * model.n_layers * length, model.d_model)
    ours, floors = [], []
    for i in range(ROUNDS + 1):
        prompt = prompt_of(model, length, rng)
        pair = (
            seconds(lambda p=prompt: analysis(model, p)),
            seconds(lambda p=prompt: floor(model, p, rows)),
        )
        if i:  # the first round warms up
            ours.append(pair[0])
            floors.append(pair[1])
    ratio = statistics.median(a / b for a, b in zip(ours, floors, strict=True))
    print(
        f"(a) {length:3d} tokens: trace + both lenses {1e3 * statistics.median(ours):7.0f} ms, "
        f"floor {1e3 * statistics.median(floors):7.0f} ms, ratio {ratio:.2f} (at most 1.5)"
    )


def materialised_ranks(run: Trace) -> list[int]:
    ranks = []
    for matrix in ("ff1", "ff2"):
        factors = run.factors[matrix]
        for x, delta in zip(factors.x, factors.delta, strict=True):
            ranks.append(int(torch.linalg.matrix_rank(x.T @ delta)))
    return ranks


def rank_speed(model: LanguageModel, length: int) -> None:
    run = trace(model, prompt_of(model, length, random.Random(length)), TARGET)
    gradient_rank(run)
    ours = statistics.median(seconds(lambda: gradient_rank(run)) for _ in range(5))
    slow = seconds(lambda: materialised_ranks(run))
    same = gradient_rank(run)["rank"].tolist() == materialised_ranks(run)
    print(
        f"(b) {length:3d} tokens: {2 * model.n_layers} ranks from factors {1e3 * ours:6.1f} ms, "
        f"from whole gradients {1e3 * slow:7.0f} ms, {slow / ours:.0f} times as fast (at least "
        f"50), the same ranks: {'yes' if same else 'NO'}"
    )


def reset_peak() -> None:
    """Linux: let the peak of resident memory begin anew."""
    Path("/proc/self/clear_refs").write_text("5")


def resident(field: str) -> int:
    """Linux: bytes of VmRSS (now) or VmHWM (peak)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return 1024 * int(line.split()[1])
    raise KeyError(field)


def memory(length: int) -> None:
    """In a process of its own: the peak while a first prompt is analysed, above the model."""
    model = small_model()
    prompt = prompt_of(model, length, random.Random(length))
    size = sum(p.numel() * p.element_size() for p in model.network.parameters())
    reset_peak()
    before = resident("VmRSS")
    analysis(model, prompt)
    extra = resident("VmHWM") - before
    print(
        f"(c) {length:3d} tokens: peak {extra / 1e6:.0f} MB above the loaded model of "
        f"{size / 1e6:.0f} MB, {extra / size:.0%} (at most 25% for 8 tokens)"
    )


def main() -> None:
    if len(sys.argv) > 1:
        memory(int(sys.argv[1]))
        return
    model = small_model()
    print(f"{model.network.num_parameters():,} parameters, {torch.get_num_threads()} threads")
    for length in LENGTHS:
        speed(model, length)
    for length in LENGTHS:
        rank_speed(model, length)
    sys.stdout.flush()
    if not Path("/proc/self/clear_refs").exists():
        print("(c) is measured on Linux only")
        return
    for length in LENGTHS:
        subprocess.run([sys.executable, "-m", "benchmarks.analysis", str(length)], check=True)


if __name__ == "__main__":
    main()
