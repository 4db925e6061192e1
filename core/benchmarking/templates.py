"""Prompts that CounterFact has not: to write from, the fact negated, and the fact asked backwards.

Made by rules from a record's own prompt (core/benchmarking/statements.py), so that everybody's
benchmark asks the same. English; they are plain templates, and a few of them read stiffly.
"""

from __future__ import annotations

import re

from core.benchmarking.relation_questions import RELATIONS
from core.benchmarking.statements import NOUN, RELATIVE, negated, parts, statement
from core.studies.counterfact import Record

MOST_GENERATION_PROMPTS = 10  # as memit's records have
OF = re.compile(r"((?:The|the) [\w ]+?) (?:of|to|for) (?:the )?$")
IS = re.compile(r" (is|was)$")
OF_ONES_OWN = re.compile(rf"['’]s?((?: {NOUN}){{1,4}})(?: (is|was))?(?: an?)?[ ,:;]*")
PEOPLES = re.compile(
    r"speak|spoke|\bplay|perform|\bwork|profession|occupation|citizen|employ|died|passed away|"
    r"expired|succumb|life|born|religion|holds the|position|native|mother tongue|expertise|writes|"
    r"grew up|spent|devoted|career|founded"
)


def generation_prompts(record: Record) -> tuple[str, ...]:
    """What the edited model is asked to write from: the record's own prompts, else its prompt and
    paraphrases; at most MOST_GENERATION_PROMPTS, each once, in their order."""
    prompts = record.generation_prompts or (record.prompt, *record.paraphrases)
    return tuple(dict.fromkeys(prompts))[:MOST_GENERATION_PROMPTS]


def negations(record: Record) -> tuple[str, ...]:
    """One or two prompts that deny the record's statement, so that its target is a wrong answer.

    "The mother tongue of X is not" and "It is not true that the mother tongue of X is". Where the
    grammar is not known, the second alone.
    """
    denied = negated(record.prompt, record.subject)
    stated = statement(record.prompt, record.subject)
    if not denied and not stated:
        stated = record.prompt.rstrip()
    doubted = f"It is not true that {stated}" if stated else ""
    return tuple(filter(None, (denied, doubted)))


def reversed_questions(record: Record, target: str) -> tuple[str, ...]:
    """Prompts that give the target and ask for the subject: one or two, none without a subject.

    The first is the relation's own where it is known (core/benchmarking/relation_questions.py); the
    other is made from the prompt's words before and after the subject. Facts that many subjects
    share are reversed alike, so that a right answer is rare in every model: compare with the
    unedited one.
    """
    before, named, after = parts(record.prompt, record.subject)
    target = target.strip()
    if not named or not target:
        return ()
    own = RELATIONS.get(record.relation, "").replace("{}", target)
    return tuple(dict.fromkeys(filter(None, (own, turned(before, after, target)))))


def turned(before: str, after: str, target: str) -> str:
    """The prompt turned round: "The capital of X is" -> "Rome is the capital of"; "X plays for" ->
    "Someone who plays for Rome is"; else the sentence with a gap where the subject was."""
    whole = OF.search(before)
    if whole and whole.start() == 0 and (is_ := IS.fullmatch(after)):
        return f"{target} {is_[1]} {before[0].lower()}{before[1:].removesuffix('the ').rstrip()}"
    mine = OF_ONES_OWN.fullmatch(after)
    if not before and mine:
        return f"{target} {mine[2] or 'is'} the{mine[1]} of"
    clause = after_the_subject(after)
    if not before and clause:
        someone = "Someone who" if PEOPLES.search(after) else "Something that"
        return f"{someone} {clause} {target} is"
    return f'In the sentence "{before}…{after.rstrip(" ,:;")} {target}", the missing name is'


def after_the_subject(after: str) -> str:
    """What the prompt says of its subject, from the verb on; empty where there is no verb."""
    if re.search(r"[.?!:] ?|, whose ", after):
        return ""
    clause = statement(f"X{after}", "X").removeprefix("X").strip()
    return "" if RELATIVE.match(clause) or clause.startswith(("'", "’", ",")) else clause
