"""Editing: one fact, one method, one Edit."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from torch import Tensor

from core.editing import emmet, fine_tuning, forward_shift, gradient_step, memit, mend, rome
from core.editing.search_parts import Asked
from core.editing.shift_search import owed_seconds
from core.errors import EditError, PromptError
from core.model.edits import Change, Edit, Fact, check_fits
from core.model.fingerprint import fingerprint
from core.model.language_model import LanguageModel
from core.model.tokens import check_text

PLACES = ("layer", "layers", "matrix", "matrices")
STRENGTHS = ("eta", "lr", "steps")
Settings = dict[str, object]
Keys = Mapping[int, Tensor]  # layer -> (d_mlp, fact)
# The changes, the settings that they took and, for methods that have them, the facts' keys.
Run = Callable[..., tuple[tuple[Change, ...], Settings] | tuple[tuple[Change, ...], Settings, Keys]]


@dataclass(frozen=True)
class Method:
    """One way to edit. `defaults(model)` gives all its hyperparameters, by name.

    needs_moments: it takes FF2's keys as they are on average (second moments) into account, and its
    edits have keys. several_facts: one edit can hold more than one fact. `first_search(model, fact,
    settings)`: what it will search first, so that searches can be made side by side beforehand.
    """

    title: str
    description: str
    needs_subject: bool
    defaults: Callable[[LanguageModel], Settings]
    run: Run
    needs_moments: bool = False
    several_facts: bool = False
    first_search: Callable[[LanguageModel, Fact, Settings], Asked | None] | None = None


METHODS: Mapping[str, Method] = MappingProxyType(
    {
        "forward-shift": Method(
            "Forward pass shift",
            "Adds the target's embedding to one FF2, after one forward pass; no gradient.",
            False,
            forward_shift.defaults,
            forward_shift.forward_shift,
        ),
        "sgd": Method(
            "One gradient step",
            "One step of gradient descent on MLP matrices: the step that the pictures show.",
            False,
            gradient_step.sgd_defaults,
            gradient_step.sgd,
        ),
        "adam": Method(
            "Fine-tuning",
            "Several steps of Adam on one matrix, until the target is learned.",
            False,
            fine_tuning.adam_defaults,
            fine_tuning.adam,
        ),
        "rome": Method(
            "ROME",
            "Writes one fact into one FF2 at the subject's last token; other keys move least.",
            True,
            rome.defaults,
            rome.rome,
            needs_moments=True,
            first_search=rome.first_search,
        ),
        "memit": Method(
            "MEMIT",
            "Spreads one or many facts over several layers' FF2.",
            True,
            memit.defaults,
            memit.memit,
            needs_moments=True,
            several_facts=True,
            first_search=memit.first_search,
        ),
        "emmet": Method(
            "EMMET",
            "ROME for one or many facts at once: all into one FF2; other keys and earlier edits "
            "move least.",
            True,
            emmet.defaults,
            emmet.emmet,
            needs_moments=True,
            several_facts=True,
            first_search=emmet.first_search,
        ),
        "mend": Method(
            "MEND",
            "A network trained for this model turns one gradient step into an edit.",
            False,
            mend.mend_defaults,
            mend.mend,
        ),
    }
)


def edit(
    model: LanguageModel,
    prompt: str,
    target: str,
    *,
    method: str,
    subject: str | None = None,
    edits: Sequence[Edit] = (),
    on_step: Callable[[int, int], None] | None = None,
    **hyperparameters: object,
) -> Edit:
    """An edit after which the model says `target` after `prompt`; the model stays as it is.

    `method` is one of METHODS; hyperparameters that are not given have its defaults for this
    model. `edits` are active while the edit is computed, so that it fits on top of them.
    `on_step(done, total)` may raise Cancelled. Raises EditError for a method, hyperparameter or
    edit that does not fit, PromptError for the text, and ModelError.
    """
    facts = [(prompt, subject, target)]
    return edit_many(model, facts, method=method, edits=edits, on_step=on_step, **hyperparameters)


def edit_many(
    model: LanguageModel,
    facts: Sequence[tuple[str, str | None, str]],
    *,
    method: str = "memit",
    edits: Sequence[Edit] = (),
    on_step: Callable[[int, int], None] | None = None,
    **hyperparameters: object,
) -> Edit:
    """One edit for several facts, each (prompt, subject, target); otherwise like `edit`.

    Methods that can are those of METHODS with `several_facts`.
    """
    chosen = method_of(method)
    settings = settings_of(method, model, hyperparameters)
    asked = tuple(Fact(*fact) for fact in facts)
    check_facts(model, asked, method, chosen)
    check_fits(model, edits)
    owed_seconds()  # of nobody's
    start = time.perf_counter()
    changes, used, *keys = chosen.run(
        model, asked, edits=edits, on_step=on_step or (lambda done, total: None), **settings
    )
    return Edit(
        name=name_of(asked),
        changes=changes,
        method=method,
        hyperparameters=MappingProxyType(used),
        facts=asked,
        model_name=model.name,
        model_fingerprint=fingerprint(model),
        seconds=time.perf_counter() - start + owed_seconds(),
        keys=MappingProxyType(dict(*keys)),
    )


def method_of(name: str) -> Method:
    if name not in METHODS:
        raise EditError(f"There is no method {name!r}. Choose one of: {', '.join(METHODS)}.")
    return METHODS[name]


def settings_of(
    method: str, model: LanguageModel, given: Mapping[str, object]
) -> dict[str, object]:
    """The defaults with what is given. A place or a strength that somebody chose is kept: other
    ones are tried (`elsewhere`) only where both were left to the method, or if one asks for it."""
    chosen = method_of(method)
    settings = chosen.defaults(model) | check_names(method, chosen, model, given)
    numbers = [given.get(name) for name in STRENGTHS]
    asked = any(name in given for name in PLACES) or any(
        isinstance(number, int | float) for number in numbers
    )
    if "elsewhere" in settings and "elsewhere" not in given and asked:
        settings["elsewhere"] = False
    return settings


def check_names(
    method: str, chosen: Method, model: LanguageModel, hyperparameters: Mapping[str, object]
) -> Mapping[str, object]:
    known = chosen.defaults(model)
    for name in hyperparameters:
        if name not in known:
            raise EditError(f"{method} has no hyperparameter {name!r}. It has: {', '.join(known)}.")
    return hyperparameters


def check_facts(model: LanguageModel, facts: Sequence[Fact], method: str, chosen: Method) -> None:
    """Refuse facts that the method cannot learn, before anything is computed."""
    if not facts:
        raise EditError("There is no fact to edit. Give at least one prompt with its target.")
    if len(facts) > 1 and not chosen.several_facts:
        able = " or ".join(name for name, method in METHODS.items() if method.several_facts)
        raise EditError(
            f"{method} edits one fact at a time, not {len(facts)}. Choose {able}, or make one edit "
            "after the other."
        )
    for fact in facts:
        model.encode(fact.prompt)
        check_text(fact.target, "target")
        if fact.subject is None and chosen.needs_subject:
            raise PromptError(
                f"{chosen.title} needs the subject of the prompt. Copy it from there: in "
                "'Obama grew up in' it is 'Obama'."
            )
        if fact.subject is not None and (not fact.subject or fact.subject not in fact.prompt):
            raise PromptError(
                f"The subject {fact.subject!r} is not in the prompt. Copy it from there."
            )


def name_of(facts: Sequence[Fact]) -> str:
    first = f"{facts[0].prompt.strip()} → {facts[0].target.strip()}"
    return first if len(facts) == 1 else f"{first} and {len(facts) - 1} more"
