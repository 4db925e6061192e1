"""The shift of the residual stream at the subject's last token that makes the model say the target:
what ROME and MEMIT search for.

Within `shared_searches` no search is made twice, and several can be made at once beforehand.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace

from torch import Tensor

from core.editing.hyperparameters import AUTO
from core.editing.lockstep import Passes, lockstep
from core.editing.search_parts import Asked, Found, Search
from core.editing.subject_edits import Templates
from core.editing.suffix_pass import run_on
from core.errors import ModelError
from core.model.edits import Edit
from core.model.language_model import LanguageModel

AT_ONCE = 4  # searches side by side; more would make others wait for a step


@dataclass
class Kept:
    """What one search has found, the norm of its value, and the seconds it took."""

    found: Found
    norm: float
    seconds: float


@dataclass
class Shared:
    """Searches that were made in a block; `owed`: seconds of those that were used again."""

    made: dict[tuple, Kept] = field(default_factory=dict)
    owed: float = 0.0


_shared: ContextVar[Shared | None] = ContextVar("shared", default=None)


@contextmanager
def shared_searches() -> Iterator[None]:
    """In the block no search is made twice: what one method has found serves the next. A block
    within another is a part of it."""
    if _shared.get() is not None:
        yield
        return
    before = _shared.set(Shared())
    try:
        yield
    finally:
        _shared.reset(before)


def owed_seconds() -> float:
    """What the searches that were used again have taken when they were made, since last asked: an
    edit costs as much, though it did not wait for them."""
    shared = _shared.get()
    if shared is None:
        return 0.0
    owed, shared.owed = shared.owed, 0.0
    return owed


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
    """The search that `Asked` describes, with these edits on the model. One turn a step."""
    asked, shared = Asked(templates, layer, value, search, direction), _shared.get()
    if shared is None or direction is not None:
        return lockstep(model, [asked], edits=edits, on_step=on_step, passes=passes)[0]
    key = key_of(model, asked, edits)
    if key in shared.made:
        kept = shared.made[key]
        shared.owed += kept.seconds
        on_step(search.steps, search.steps)
        return scaled(kept, float(value.norm()))
    start = time.perf_counter()
    (found,) = lockstep(model, [asked], edits=edits, on_step=on_step, passes=passes)
    shared.made[key] = Kept(found, float(value.norm()), time.perf_counter() - start)
    return found


def search_ahead(
    model: LanguageModel,
    asked: Sequence[Asked],
    *,
    edits: Sequence[Edit],
    on_step: Callable[[int, int], None],
) -> None:
    """Make searches after one layer side by side, for the `find_shift`s that will ask for them.

    Use it inside `shared_searches`. Where one of them fails none is kept: each says so when it is
    asked for. Searches with a direction are left to themselves. Steps are counted over all.
    """
    shared = _shared.get()
    left = {key_of(model, one, edits): one for one in asked if one.direction is None}
    left = [(key, one) for key, one in left.items() if key not in shared.made]
    if len(left) < 2:
        return
    for first in range(0, len(left), AT_ONCE):
        some, start = left[first : first + AT_ONCE], time.perf_counter()

        def tell(step: int, steps: int, before: int = first, here: int = len(some)) -> None:
            on_step(before * steps + step * here, len(left) * steps)

        try:
            found = lockstep(model, [one for _, one in some], edits=edits, on_step=tell)
        except ModelError:
            continue
        each = (time.perf_counter() - start) / len(some)
        for (key, one), result in zip(some, found, strict=True):
            shared.made[key] = Kept(result, float(one.value.norm()), each)


def key_of(model: LanguageModel, asked: Asked, edits: Sequence[Edit]) -> tuple:
    """What a search's result depends on."""
    search = asked.search
    free = search.clamp == AUTO and search.decay == 0  # then the value's norm does not matter
    norm = None if free else float(asked.value.norm())
    return model, asked.templates, asked.layer, search, tuple(edits), norm


def scaled(kept: Kept, norm: float) -> Found:
    """The same shift, its clamp as a part of another value's norm."""
    clamp = kept.found.search.clamp * (kept.norm / norm)
    return replace(kept.found, search=replace(kept.found.search, clamp=clamp))
