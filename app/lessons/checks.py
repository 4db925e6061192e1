"""Right or not yet: a unit's check against what is on the screen now, for any model and prompt."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

from app.lessons.facts import NUMBERS, WORDS, target
from app.lessons.unit import (
    ANSWER_IS,
    BROKE,
    CHOICE,
    EDITED,
    NUMBER,
    REQUEST,
    Check,
    Wanted,
)
from app.notebook import tables
from app.shell.related import related
from app.shell.state import Request, prompt_problem, target_problem
from app.words import code_span, number, percent, plain, shortened

SPACE_SIGNS = " \t\n\r\u00a0\u200b\u2060·␣▁_ĠĊ⍽"  # as tokenizers, tools and this app write spaces
NO_EDIT = "No edit is on that was made for this model: make one on the page Edit."


@dataclass(frozen=True)
class Verdict:
    right: bool
    why: str  # Markdown, one sentence or a few


def bare(text: str) -> str:
    """A word as it is compared: without spaces and the signs for them, in small letters."""
    text = unicodedata.normalize("NFKC", text)
    return (text.strip(SPACE_SIGNS) or text.strip() or text).casefold()


def judge(check: Check, request: Request, given: str = "") -> Verdict:
    """What is found and what is wanted; `given` is what the learner typed or chose.

    Raises BackwardLensError where the model fails while it runs.
    """
    return JUDGES[check.kind](check, request, given.strip())


def solution(check: Check, request: Request) -> str | None:
    """A right answer to what is on the screen; None where none is typed, or none is known."""
    if check.kind == ANSWER_IS:
        return WORDS[check.of].read(request).strip() or None
    if check.kind == NUMBER:
        return f"{NUMBERS[check.of].read(request):.6g}"
    if check.kind == CHOICE:
        return next((o.text for o in check.options if all_hold(o.wanted, request)), None)
    if check.kind == BROKE and request.entries:
        return first_broken(check, request)
    return None


def judge_word(check: Check, request: Request, given: str) -> Verdict:
    word = WORDS[check.of]
    wanted = word.read(request)
    if not given:
        return Verdict(False, f"Nothing is written yet; wanted is {word.words}.")
    if bare(given) == bare(wanted):
        return Verdict(True, f"{code_span(wanted)} is {word.words}.{how_sure(check, request)}")
    yours = code_span(shortened(given, 40))
    found = where_it_stands(request, given) if check.of == "answer" else ""
    return Verdict(False, f"You wrote {yours}{found}; wanted is {word.words}.")


def how_sure(check: Check, request: Request) -> str:
    if check.of != "answer":
        return ""
    return f" It is {plain(percent(NUMBERS['answer_probability'].read(request)))} sure."


def where_it_stands(request: Request, typed: str) -> str:
    """What the model thinks of a word that is not its answer; empty where that cannot be said."""
    if target_problem(request.model, request.prompt, typed):
        return ""
    scores = tables.trace(request).logits  # (vocabulary,)
    score = scores[request.model.target(request.prompt, typed).id]
    place = int((scores > score).sum()) + 1
    chance = percent(float((score - scores.logsumexp(-1)).exp()))
    return f", which the model finds {plain(chance)} probable (number {place:,} of its list)"


def judge_number(check: Check, request: Request, given: str) -> Verdict:
    fact = NUMBERS[check.of]
    wanted = fact.read(request)
    try:
        value = float(given)
    except ValueError:
        return Verdict(False, f"Give a number; wanted is {fact.words}.")
    if abs(value - wanted) <= check.tolerance + 1e-9:
        return Verdict(True, f"{capital(fact.words)} is {plain(fact.write(wanted))}.")
    way = "lower" if value > wanted else "higher"
    return Verdict(False, f"You said {plain(number(value))}; {fact.words} is {way}.")


def judge_choice(check: Check, request: Request, given: str) -> Verdict:
    chosen = next((option for option in check.options if option.text == given), None)
    if chosen is None:
        return Verdict(False, "Nothing is chosen yet.")
    found = "; ".join(told(wanted, request) for wanted in chosen.wanted)
    return Verdict(all_hold(chosen.wanted, request), f"{capital(found)}.")


def judge_request(check: Check, request: Request, given: str) -> Verdict:
    missing = [wanted for wanted in check.wanted if not holds(wanted, request)]
    if not missing:
        found = "; ".join(told(wanted, request) for wanted in check.wanted)
        return Verdict(True, f"{capital(found)}.")
    first = missing[0]
    return Verdict(False, f"{capital(told(first, request))}; wanted is {bounds(first)}.")


def judge_edited(check: Check, request: Request, given: str) -> Verdict:
    """With the edits that are on the model says the target, and without them it does not."""
    if not request.entries:
        return Verdict(False, NO_EDIT)
    before, after = tables.both_answers(request, 1)
    old, new = before["token"].iloc[0], after["token"].iloc[0]
    wanted = target(request)
    if old == wanted:
        why = f"The model says {code_span(old)} even without your edit: choose another target."
        return Verdict(False, why)
    says = f"With your edit the model says {code_span(new)}"
    if new != wanted:
        return Verdict(False, f"{says}; wanted is your target, {code_span(wanted)}.")
    return Verdict(True, f"{says} instead of {code_span(old)}.")


def judge_broke(check: Check, request: Request, given: str) -> Verdict:
    """The learner's prompt, about another subject, has another answer with the edits on."""
    if not request.entries:
        return Verdict(False, NO_EDIT)
    if not given:
        return Verdict(False, "Nothing is written yet; wanted is a prompt about something else.")
    problem = prompt_problem(request.model, given)
    if problem:
        return Verdict(False, plain(problem))
    own = own_prompt(request, given)
    if own:
        return Verdict(False, own)
    before, after = before_and_after(request, (given,))[0]
    if before == after:
        why = f"The model still says {code_span(before)} there; wanted is an answer that changed."
        return Verdict(False, why)
    return Verdict(
        True, f"There it said {code_span(before)}; with your edit it says {code_span(after)}."
    )


def own_prompt(request: Request, given: str) -> str:
    """Why a prompt is one that the edit is meant to change, as a sentence; empty if it is not."""
    for entry in request.entries:
        for fact in entry.edit.facts:
            subject = (fact.subject or "").strip()
            if bare(given) == bare(fact.prompt) or (subject and bare(subject) in bare(given)):
                about = subject or fact.prompt
                return (
                    f"Your edit is about {code_span(about)}, and so is this prompt: it may change. "
                    "Wanted is one about something else."
                )
    return ""


def before_and_after(request: Request, prompts: tuple[str, ...]) -> list[tuple[str, str]]:
    """The answers without and with the edits."""
    table = tables.side_effects(request, ((), (), prompts), request.target)
    return list(zip(table["answer_before"], table["answer_after"], strict=True))


def first_broken(check: Check, request: Request) -> str | None:
    """Of the file's candidates and the prompts around the fact, the first that an edit changed."""
    around = related(request.prompt, request.subject)
    texts = dict.fromkeys((*check.candidates, *around.neighbours, *around.unrelated))
    fitting = tuple(
        text
        for text in texts
        if not prompt_problem(request.model, text) and not own_prompt(request, text)
    )
    pairs = before_and_after(request, fitting) if fitting else []
    return next((text for text, (a, b) in zip(fitting, pairs, strict=True) if a != b), None)


def holds(wanted: Wanted, request: Request) -> bool:
    value = NUMBERS[wanted.of].read(request)
    least, most = wanted.at_least, wanted.at_most
    return (least is None or value >= least) and (most is None or value <= most)


def all_hold(conditions: tuple[Wanted, ...], request: Request) -> bool:
    return all(holds(wanted, request) for wanted in conditions)


def told(wanted: Wanted, request: Request) -> str:
    fact = NUMBERS[wanted.of]
    return f"{fact.words} is {plain(fact.write(fact.read(request)))}"


def bounds(wanted: Wanted) -> str:
    write = NUMBERS[wanted.of].write
    least, most = (
        None if value is None else plain(write(value))
        for value in (wanted.at_least, wanted.at_most)
    )
    if least == most:
        return f"exactly {least}"
    if least and most:
        return f"{least} to {most}"
    return f"{least} or more" if least else f"{most} or less"


def capital(words: str) -> str:
    return words[:1].upper() + words[1:]


JUDGES = {
    ANSWER_IS: judge_word,
    NUMBER: judge_number,
    CHOICE: judge_choice,
    REQUEST: judge_request,
    EDITED: judge_edited,
    BROKE: judge_broke,
}
