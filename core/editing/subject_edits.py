"""What ROME and MEMIT share: the prompt in several contexts, and the shift of the residual stream
at the subject's last token that makes the model say the target."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from core.editing.hyperparameters import AUTO
from core.editing.suffix_pass import Kept, keep, run_on
from core.gradients.segments import subject_tokens
from core.model.capture import capture, check_numbers
from core.model.edited import changed, turn
from core.model.edits import Change, Edit, Fact
from core.model.forcing import forced_ids, losses_of, padded, smallest_lead, target_logits
from core.model.language_model import LanguageModel
from core.model.sampling import sample_rows
from core.model.tokens import Target

CONTEXT_TOKENS = (5, 10)  # lengths of the sampled contexts, half of them each
CONTEXT_TOP_K = 5
SEED = 0
RATE, CLAMP = 0.1, 2.0  # of the residual stream's norm
PATIENCE = 10  # steps without a better loss
Passes = Callable[[LanguageModel, Kept, Sequence[tuple[int, ...]], Tensor], Tensor]
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
    lr: float | str
    kl: float
    decay: float
    clamp: float | str  # of the value's norm
    margin: float | None = None  # stop once the target leads by this much in every context
    stop_below: float = 0.05


@dataclass(frozen=True)
class Found:
    """A shift (d_model,), by how much the target leads with it, and the numbers it took."""

    shift: Tensor
    lead: float
    search: Search


@dataclass(frozen=True)
class Lead:
    """By how much the target leads after the bare prompt; above 0 it is the answer."""

    first: float  # its first token
    least: float  # the token of it that leads least

    @property
    def rank(self) -> tuple[int, float]:
        """To choose among changes: one that makes the model say the whole target is best."""
        return (self.first > 0) + (self.least > 0), self.least

    def meets(self, goal: Target) -> bool:
        """Whether as much of the target is said as `goal` asks for."""
        return (self.first if len(goal.ids) == 1 else self.least) > 0


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


def first_token_only(templates: Templates) -> Templates:
    """The same rows; only the target's first token is asked for."""
    goal = templates.goal
    return replace(templates, goal=replace(goal, ids=goal.ids[:1], tokens=goal.tokens[:1]))


def at_last_token(templates: Templates) -> Templates:
    """The same rows; the prompt's last token stands where the subject's was."""
    return replace(templates, places=tuple(len(row) - 1 for row in templates.rows))


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
    layer: int,
    value: Tensor,
    search: Search,
    *,
    edits: Sequence[Edit],
    on_step: Callable[[int, int], None],
    direction: Tensor | None = None,
    passes: Passes = run_on,
) -> Found:
    """The vector that, added after the layer at the subject's last token in every template, makes
    the model say the target. One turn a step; the norm of `value` (d_model,) is clamp's unit.

    With a `direction` u (d_mlp,) the whole change u shift^T is on the layer's FF2, so that each
    token gets (x u) shift, x being its input there.
    """
    goal, starts = templates.goal, list(templates.places)
    rows = [forced_ids(model, row, goal) for row in templates.rows]
    if search.kl:
        rows.append(templates.essence[: templates.essence_place + 1])
        starts.append(templates.essence_place)
    places = [0] * len(rows) if direction is not None else starts
    with turn(model, edits, gradients=False):
        kept = keep(model, rows, places, layer)
    lengths = [len(row) - start for row, start in zip(templates.rows, places, strict=False)]
    share = shares(kept, direction)
    search = resolved(search, kept, starts, value)
    with torch.inference_mode(False):
        shift = torch.zeros_like(value).requires_grad_()
        optimizer = torch.optim.Adam([shift], lr=search.lr)
    limit, reference, best, since = search.clamp * value.norm(), None, float("inf"), 0
    for step in range(search.steps):
        with turn(model, edits, gradients=True):
            hidden = passes(model, kept, rows, share * shift.to(share.device))
            logits = target_logits(model, hidden[: len(lengths)], lengths, goal)
            loss, lead = losses_of(logits, goal).mean(), float(smallest_lead(logits, goal).detach())
            nll = float(loss.detach())
            if search.kl:
                essence = model.unembedding(hidden[-1, starts[-1] - places[-1]])
                essence = essence.float().log_softmax(-1)
                reference = essence.detach() if reference is None else reference
                loss = loss + search.kl * divergence(essence, reference)
            loss = loss + search.decay * shift.norm() / value.norm().square()
            check_numbers(loss)
            if enough(search, float(loss.detach()), lead) or step == search.steps - 1:
                break
            best, since = (nll, 0) if nll < 0.99 * best else (best, since + 1)
            if since == PATIENCE:
                break
            (shift.grad,) = torch.autograd.grad(loss, shift)
            optimizer.step()
        with torch.no_grad():
            shift.mul_((limit / shift.norm().clamp_min(1e-30)).clamp(max=1))
        on_step(step + 1, search.steps)
    return Found(shift.detach(), lead, search)


def enough(search: Search, loss: float, lead: float) -> bool:
    return loss < search.stop_below or (search.margin is not None and lead > search.margin)


def shares(kept: Kept, direction: Tensor | None) -> Tensor:
    """What part of the shift each kept token gets: (row, token, 1)."""
    if direction is not None:
        return (kept.inputs.float() @ direction.to(kept.inputs.device))[..., None]
    share = torch.zeros(*kept.positions.shape, 1, device=kept.residual.device)
    share[:, 0] = 1
    return share


def resolved(search: Search, kept: Kept, starts: Sequence[int], value: Tensor) -> Search:
    """With numbers in place of "auto": a step moves RATE of the residual stream, all CLAMP times.

    The median over the rows: the first token's residual stream is often far longer than others'.
    """
    places = [start - first for start, first in zip(starts, kept.starts, strict=True)]
    scale = kept.residual[range(len(places)), places].float().norm(dim=-1).median().item()
    lr, clamp = search.lr, search.clamp
    return replace(
        search,
        lr=RATE * scale / len(value) ** 0.5 if lr == AUTO else lr,
        clamp=CLAMP * scale / value.norm().item() if clamp == AUTO else clamp,
    )


def divergence(now: Tensor, before: Tensor) -> Tensor:
    """KL of what the subject is, from log p: (vocabulary,) -> a scalar."""
    return (now.exp() * (now - before)).sum()


def lead_after(
    model: LanguageModel, templates: Templates, edits: Sequence[Edit], changes: Sequence[Change]
) -> Lead:
    """How the target stands after the bare prompt, the changes made; one turn."""
    row, goal = templates.rows[0], templates.goal
    with turn(model, edits, gradients=False), changed(model, changes):
        hidden = model.read(model.embed(forced_ids(model, row, goal)))
        logits = target_logits(model, hidden, [len(row)], goal)
    first = first_token_only(templates).goal
    return Lead(
        float(smallest_lead(logits[:, :1], first)),
        float(smallest_lead(logits, goal)),
    )
