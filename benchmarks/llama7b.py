"""Llama2-7B's exact size on a laptop: python -m benchmarks.llama7b [bfloat16 int8]

A sparse-file model of its shapes, which takes no disk and runs at full cost (its zeros say nothing
about numbers), is loaded in each precision in a process of its own. Measured side by side with the
floor: the same products, of as many rows, from float32 blocks, and nothing else. While it is
traced, another thread traces the tiny model, as a second user would.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import torch

from benchmarks.analysis import resident, seconds
from core import LanguageModel, answers, backward_lens, edit, forward_lens, load_model, trace
from core.model.compact import sum_of_rows, times_rows

TOKENIZER = Path(__file__).resolve().parent.parent.parent / "shared" / "tokenizers" / "llama2"
WIDTH, MLP, LAYERS, VOCABULARY = 4096, 11_008, 32, 32_000
SHAPES = {
    "self_attn.q_proj": (WIDTH, WIDTH),
    "self_attn.k_proj": (WIDTH, WIDTH),
    "self_attn.v_proj": (WIDTH, WIDTH),
    "self_attn.o_proj": (WIDTH, WIDTH),
    "mlp.gate_proj": (MLP, WIDTH),
    "mlp.up_proj": (MLP, WIDTH),
    "mlp.down_proj": (WIDTH, MLP),
    "input_layernorm": (WIDTH,),
    "post_attention_layernorm": (WIDTH,),
}
CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": WIDTH,
    "intermediate_size": MLP,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 32,
    "num_key_value_heads": 32,
    "max_position_embeddings": 4096,
    "vocab_size": VOCABULARY,
    "rms_norm_eps": 1e-5,
    "tie_word_embeddings": False,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "torch_dtype": "bfloat16",
}
PROMPT, TARGET = "Lionel Messi plays for", "Paris"  # 6 tokens with BOS
QUESTIONS = 10


def make_folder(folder: Path) -> None:
    """Config, tokenizer and a safetensors file that is a header and a hole."""
    shapes = {"model.embed_tokens": (VOCABULARY, WIDTH), "lm_head": (VOCABULARY, WIDTH)}
    shapes["model.norm"] = (WIDTH,)
    for layer in range(LAYERS):
        shapes |= {f"model.layers.{layer}.{name}": shape for name, shape in SHAPES.items()}
    header, end = {}, 0
    for name, shape in shapes.items():
        start, end = end, end + 2 * torch.Size(shape).numel()
        header[f"{name}.weight"] = {"dtype": "BF16", "shape": shape, "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with (folder / "model.safetensors").open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + end)
    (folder / "config.json").write_text(json.dumps(CONFIG))
    for file in TOKENIZER.glob("*token*"):
        shutil.copy(file, folder)


class Floor:
    """The products of a forward and a backward pass, from blocks of a few float32 matrices that
    are too large together for any cache."""

    def __init__(self) -> None:
        shapes = {(WIDTH, WIDTH): 8, (MLP, WIDTH): 3, (WIDTH, MLP): 3, (VOCABULARY, WIDTH): 1}
        self.matrices = {s: [torch.randn(s) for _ in range(n)] for s, n in shapes.items()}
        self.turn = 0

    def products(self, shape: tuple[int, int], rows: int) -> None:
        matrices = self.matrices[shape]
        for product, width in ((times_rows, shape[1]), (sum_of_rows, shape[0])):
            self.turn += 1
            product(torch.ones(rows, width), matrices[self.turn % len(matrices)])

    def trace(self, rows: int) -> None:
        for _ in range(LAYERS):
            for shape in SHAPES.values():
                if len(shape) == 2:
                    self.products(shape, rows)
        self.products((VOCABULARY, WIDTH), 1)

    def lenses(self, rows: int) -> None:
        """The residual stream after each block, and FF2's VJPs, through the decoding matrix."""
        for _ in range(2):
            times_rows(torch.ones(LAYERS * rows, WIDTH), self.matrices[VOCABULARY, WIDTH][0])


def lenses(model: LanguageModel, prompt: str) -> None:
    run = trace(model, prompt, TARGET)
    forward_lens(model, prompt, TARGET)
    backward_lens(run)


class Neighbour:
    """Another user, who traces the tiny model again and again, and how long each answer takes."""

    def __init__(self) -> None:
        self.model = load_model("tiny-gpt2")
        self.latencies: list[float] = []
        self.stop = threading.Event()

    def ask(self) -> None:
        self.latencies.append(seconds(lambda: trace(self.model, "Obama grew up in", TARGET)))

    def run(self) -> None:
        while not self.stop.wait(0.2):
            self.ask()

    def during(self, work: Callable[[], object]) -> list[float]:
        """Sorted latencies while the work runs in another thread."""
        self.stop.clear()
        self.latencies = []
        thread = threading.Thread(target=self.run)
        thread.start()
        work()
        self.stop.set()
        thread.join()
        return sorted(self.latencies)


def memory() -> str:
    """Now and at most, pages of mapped files included; and without those."""
    info = psutil.Process().memory_info()
    files = getattr(info, "shared", 0)
    return (
        f"resident {info.rss / 1e9:.1f} GB, of it mapped files {files / 1e9:.1f} GB; "
        f"peak {resident('VmHWM') / 1e9:.1f} GB"
    )


def measure(folder: str, kind: str) -> None:
    """One precision, in a process of its own."""
    start = time.perf_counter()
    model = load_model(folder, dtype=kind, device="cpu")
    print(f"{kind}: load {time.perf_counter() - start:.1f} s; {memory()}", flush=True)
    rows = len(model.encode(PROMPT))
    trace(model, PROMPT, TARGET)
    print(f"  first trace done; {memory()}", flush=True)
    once = [seconds(lambda: lenses(model, PROMPT)) for _ in range(1)]
    change = seconds(lambda: edit(model, PROMPT, TARGET, method="forward-shift", eta=0.1))
    asked = seconds(lambda: [answers(model, f"{PROMPT} {i}") for i in range(QUESTIONS)])
    print(
        f"  trace of {rows} tokens and both lens tables {once[0]:.1f} s, forward shift "
        f"{change:.1f} s, {QUESTIONS} answers {asked:.1f} s; {memory()}",
        flush=True,
    )
    floor = Floor()
    pairs = []
    for i in range(3):  # new prompts: a prompt's residual stream is remembered
        prompt = f"{PROMPT} {i}".replace("for ", "for")
        rows = len(model.encode(prompt))
        pairs.append(
            (
                seconds(lambda p=prompt: trace(model, p, TARGET)),
                seconds(lambda r=rows: floor.trace(r)),
                seconds(lambda p=prompt: lenses(model, p)),
                seconds(lambda r=rows: (floor.trace(r), floor.lenses(r))),
            )
        )
    best = [min(column) for column in zip(*pairs, strict=True)]
    print(
        f"  best of three: trace {best[0]:.1f} s, floor {best[1]:.1f} s, ratio "
        f"{best[0] / best[1]:.2f}; with both lens tables {best[2]:.1f} s, floor {best[3]:.1f} s, "
        f"ratio {best[2] / best[3]:.2f} (at most 1.5)",
        flush=True,
    )
    neighbour = Neighbour()
    neighbour.ask()
    alone = neighbour.during(lambda: time.sleep(5))
    meanwhile = neighbour.during(lambda: trace(model, PROMPT, TARGET))
    for text, times in (("alone", alone), ("during a 7B trace", meanwhile)):
        middle = times[len(times) // 2]
        print(
            f"  a tiny model's trace {text}: median {1e3 * middle:.0f} ms, slowest "
            f"{1e3 * times[-1]:.0f} ms, {len(times)} of them"
        )


def main() -> None:
    if sys.argv[1:2] == ["--measure"]:
        measure(*sys.argv[2:4])
        return
    print(f"{torch.get_num_threads()} threads", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        make_folder(Path(folder))
        print(repr(load_precision(folder)), flush=True)
        for kind in sys.argv[1:] or ("bfloat16", "int8"):
            command = [sys.executable, "-m", "benchmarks.llama7b", "--measure", folder, kind]
            subprocess.run(command, check=True)


def load_precision(folder: str) -> str:
    """What load_model would choose here, without loading anything."""
    from core.model.architectures import LLAMA
    from core.model.loading import free_memory
    from core.model.precision import choose
    from core.model.weights import sizes_of

    return choose(
        "Llama 2 7B", sizes_of(Path(folder), LLAMA), None, ("cpu",), free_memory
    ).precision


if __name__ == "__main__":
    main()
