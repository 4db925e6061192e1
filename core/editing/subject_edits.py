"""What ROME and MEMIT share: the prompt in several contexts, their keys and values, and how the
target stands after a change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from core.gradients.segments import subject_tokens
from core.model.capture import Site, capture, check_numbers, ending_after
from core.model.edited import changed, turn
from core.model.edits import Change, Edit, Fact
from core.model.forcing import forced_ids, padded, smallest_lead, target_logits
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


def bare(templates: Templates) -> Templates:
    """The prompt alone, without contexts."""
    return some_rows(templates, (0,))


def some_rows(templates: Templates, chosen: Sequence[int]) -> Templates:
    """The chosen rows only; row 0 is the bare prompt."""
    return replace(
        templates,
        rows=tuple(templates.rows[i] for i in chosen),
        places=tuple(templates.places[i] for i in chosen),
    )


def at_last_token(templates: Templates) -> Templates:
    """The same rows; the prompt's last token stands where the subject's was."""
    return replace(templates, places=tuple(len(row) - 1 for row in templates.rows))


def observe(
    model: LanguageModel, templates: Templates, matrix: str, layer: int
) -> tuple[Tensor, Tensor]:
    """Input and output of a matrix at the subject's last token: (row, d_in) and (row, d_out).

    Use it inside `turn`.
    """
    return observe_all(model, templates, (matrix,), (layer,))[matrix, layer]


def observe_all(
    model: LanguageModel, templates: Templates, matrices: tuple[str, ...], layers: Sequence[int]
) -> dict[Site, tuple[Tensor, Tensor]]:
    """`observe` of several matrices and layers, in one pass that ends with the highest layer."""
    rows, places = torch.arange(len(templates.rows)), torch.tensor(templates.places)
    with capture(model, matrices, layers) as seen, ending_after(model, max(layers)):
        model.read(padded(model, templates.rows))
    found = {
        place: (site.x[rows, places].float(), site.outputs[0][rows, places].float())
        for place, site in seen.items()
    }
    for pair in found.values():
        check_numbers(pair[1])
    return found


def balanced(rows: Tensor) -> Tensor:
    """Half the bare prompt and half the mean over its contexts: (row, width) -> (width,)."""
    return rows[0] if len(rows) == 1 else (rows[0] + rows[1:].mean(0)) / 2


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
