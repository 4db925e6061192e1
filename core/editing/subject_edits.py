"""What ROME and MEMIT share: the prompt in several contexts, and the shift of the residual stream
at the subject's last token that makes the model say the target."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from core.gradients.segments import subject_tokens
from core.model.capture import capture, check_numbers
from core.model.edited import turn
from core.model.edits import Edit, Fact
from core.model.forcing import forced_ids, padded, target_losses
from core.model.language_model import LanguageModel
from core.model.sampling import sample_rows
from core.model.tokens import Target

CONTEXT_TOKENS = (5, 10)  # lengths of the sampled contexts, half of them each
CONTEXT_TOP_K = 5
SEED = 0
_contexts: WeakKeyDictionary[LanguageModel, dict[int, tuple[str, ...]]] = WeakKeyDictionary()


@dataclass(frozen=True)
class Templates:
    """The prompt alone and after each context; the subject's last token in each."""

    rows: tuple[tuple[int, ...], ...]  # token ids; the bare prompt first
    places: tuple[int, ...]
    goal: Target
    essence: tuple[int, ...]  # "<subject> is a"
    essence_place: int


@dataclass(frozen=True)
class Search:
    """How the shift is searched: Adam on NLL + kl KL + decay |shift|^2 / |value|^2."""

    steps: int
    lr: float
    kl: float
    decay: float
    clamp: float  # of the value's norm
    stop_below: float = 0.05


def contexts(model: LanguageModel, count: int) -> tuple[str, ...]:
    """Short beginnings that the unedited model writes itself, always the same for a model."""
    kept = _contexts.setdefault(model, {})
    if count not in kept:
        generator = torch.Generator().manual_seed(SEED)
        rows = sample_rows(
            model, max(1, count), 1 + max(CONTEXT_TOKENS), generator, top_k=CONTEXT_TOP_K
        ).tolist()
        lengths = [CONTEXT_TOKENS[i % len(CONTEXT_TOKENS)] for i in range(count)]
        texts = [
            model.tokenizer.decode(row[1 : 1 + length], skip_special_tokens=True).strip()
            for row, length in zip(rows, lengths, strict=False)
        ]
        kept[count] = tuple(f"{text}. " for text in texts if text)
    return kept[count]


def templates_of(model: LanguageModel, fact: Fact, count: int) -> Templates:
    """The fact's prompt, bare and after up to `count` contexts that leave its end as it is."""
    bare = model.encode(fact.prompt)
    last = subject_tokens(model, fact.prompt, fact.subject)[-1]
    goal = model.target(fact.prompt, fact.target)
    forced_ids(model, bare, goal)  # raises if they do not fit
    rows, places = [bare], [last]
    after = len(bare) - last  # tokens from the subject's last one on
    room = model.context_length - len(goal.ids) + 1
    for context in contexts(model, count):
        ids = tuple(model.tokenizer(context + fact.prompt, verbose=False).input_ids)
        if len(ids) <= room and ids[len(ids) - after + 1 :] == bare[last + 1 :]:
            rows.append(ids)
            places.append(len(ids) - after)
    essence = f"{fact.subject.strip()} is a"
    return Templates(
        rows=tuple(rows),
        places=tuple(places),
        goal=goal,
        essence=model.encode(essence),
        essence_place=subject_tokens(model, essence, fact.subject)[-1],
    )


def observe(
    model: LanguageModel, templates: Templates, matrix: str, layer: int
) -> tuple[Tensor, Tensor]:
    """Input and output of a matrix at the subject's last token: (row, d_in) and (row, d_out).

    Use it inside `turn`.
    """
    with capture(model, (matrix,)) as seen:
        check_numbers(model.read(padded(model, templates.rows)))
    site, rows = seen[matrix, layer], torch.arange(len(templates.rows))
    places = torch.tensor(templates.places)
    return site.x[rows, places].float(), site.outputs[0][rows, places].float()


def balanced(rows: Tensor) -> Tensor:
    """Half the bare prompt and half the mean over its contexts: (row, width) -> (width,)."""
    return rows[0] if len(rows) == 1 else (rows[0] + rows[1:].mean(0)) / 2


def find_shift(
    model: LanguageModel,
    templates: Templates,
    matrix: str,
    layer: int,
    value: Tensor,
    search: Search,
    *,
    edits: Sequence[Edit],
    on_step: Callable[[], None],
    adding: Callable[[Tensor], AbstractContextManager] | None = None,
) -> Tensor:
    """The vector that, added to the matrix's output at the subject's last token in every template,
    makes the model say the target: (d_model,). One turn a step; `value` (d_model,) sets the scale.

    `adding(shift)` may put the shift on the model in another way.
    """
    with torch.inference_mode(False):
        shift = torch.zeros_like(value).requires_grad_()
        optimizer = torch.optim.Adam([shift], lr=search.lr)
    limit, reference = search.clamp * value.norm(), None
    module = model.modules(matrix, layer)[0]
    goal, lengths = templates.goal, [len(row) for row in templates.rows]
    rows = [forced_ids(model, row, goal) for row in templates.rows] + [templates.essence]
    places = (*templates.places, templates.essence_place)
    for step in range(search.steps):
        with turn(model, edits, gradients=True):
            with adding(shift) if adding else shifted(module, places, shift):
                hidden = model.read(padded(model, rows))
            losses = target_losses(model, hidden[:-1], lengths, goal)
            essence = model.unembedding(hidden[-1, templates.essence_place]).float().log_softmax(-1)
            reference = essence.detach() if reference is None else reference
            loss = losses.mean() + penalties(search, shift, value, essence, reference)
            check_numbers(loss)
            if loss < search.stop_below or step == search.steps - 1:
                break
            (shift.grad,) = torch.autograd.grad(loss, shift)
            optimizer.step()
        with torch.no_grad():
            shift.mul_((limit / shift.norm().clamp_min(1e-30)).clamp(max=1))
        on_step()
    return shift.detach()


def penalties(
    search: Search, shift: Tensor, value: Tensor, essence: Tensor, reference: Tensor
) -> Tensor:
    """What a long shift costs, and one that changes what the subject is (log p before and now)."""
    divergence = (essence.exp() * (essence - reference)).sum()
    return search.kl * divergence + search.decay * shift.norm() / value.norm().square()


@contextmanager
def shifted(module: nn.Module, places: Sequence[int], shift: Tensor) -> Iterator[None]:
    """Add `shift` (d_model,) to the module's output at one token of each row."""
    rows, columns = torch.arange(len(places)), torch.tensor(places)

    def add(_: nn.Module, inputs: tuple, output: Tensor | tuple) -> Tensor | tuple:
        first = output if isinstance(output, Tensor) else output[0]
        first = first.clone()
        first[rows, columns] += shift.to(first.device, first.dtype)
        return first if isinstance(output, Tensor) else (first, *output[1:])

    hook = module.register_forward_hook(add)
    try:
        yield
    finally:
        hook.remove()
