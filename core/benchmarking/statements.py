"""A prompt's grammar, as far as CounterFact's prompts need it: what it states, and its negation.

English only, by closed lists of words and no parser: the same prompt gives the same text for ever.
"""

from __future__ import annotations

import re

from core.errors import PromptError
from core.gradients.segments import find_subject

BE = ("is", "are", "was", "were")
HELPERS = re.compile(r" (is|are|was|were|can|will|would|could|has been|have been|had been)(?= )")
ENDS_IN_BE = re.compile(r"\b(is|are|was|were)$")
SENTENCE_END = re.compile(r"[.?!] ")
RELATIVE = re.compile(r",? (?:who|which|that) (?=\S)")
NOUN = r"(?!(?:is|are|was|were|in|an?)\b|\w+ed\b)\w+"
NAMED = re.compile(rf"(?:['’]s?((?: {NOUN}){{1,4}})| (?:owner|label|capital))[ ,:;]*")
VERB = re.compile(rf"(['’]s?(?: {NOUN}){{1,3}})? (\w+ly )?(\w+)")
PLACED = re.compile(r" (?:from|of|in|by|at)\b")
PRONOUN = re.compile(r"(It|They|He|She|Its|Their)\b")
# Words that may stand after the comma of "X, created by", besides those in -ed and -ing.
AFTER_COMMA = (
    *("a", "an", "at", "by", "for", "from", "in", "of", "on", "the", "within"),
    *("born", "built", "known", "made", "sold", "speaker", "written"),
)
SMALL = (  # words that lose their capital inside a sentence
    *("A", "Among", "An", "As", "At", "By", "Customers", "Death", "During", "For", "Football"),
    *(
        "From",
        "He",
        "Her",
        "His",
        "If",
        "In",
        "It",
        "Its",
        "Most",
        "Of",
        "On",
        "Our",
        "Owners",
        "People",
        "She",
    ),
    *("That", "The", "Their", "There", "They", "This", "To", "We", "When"),
)
PAST = {  # past tenses that are no participle with "-ed" taken off
    "became": "become",
    "began": "begin",
    "built": "build",
    "came": "come",
    "died": "die",
    "found": "find",
    "gave": "give",
    "got": "get",
    "grew": "grow",
    "had": "have",
    "held": "hold",
    "led": "lead",
    "lost": "lose",
    "made": "make",
    "ran": "run",
    "sang": "sing",
    "spoke": "speak",
    "spent": "spend",
    "took": "take",
    "used": "use",
    "went": "go",
    "won": "win",
    "wrote": "write",
}
PRESENT = {"does": "do", "goes": "go", "has": "have", "dies": "die", "lies": "lie"}
PLAIN = (
    "come",
    "have",
    "live",
    "make",
    "pay",
    "play",
    "speak",
    "understand",
    "use",
    "work",
    "write",
)


def parts(prompt: str, subject: str | None) -> tuple[str, str, str]:
    """The text before the subject, the subject, and the text after it, without a last space.

    Where there is no subject, or it is not in the prompt, the whole prompt stands before it.
    """
    prompt = prompt.rstrip()
    try:
        start, end = find_subject(prompt, subject or "")
    except PromptError:
        return prompt, "", ""
    return prompt[:start], prompt[start:end], prompt[end:]


def negated(prompt: str, subject: str | None) -> str:
    """The prompt with "not" in its last clause; empty where no rule knows how.

    "The mother tongue of X is" -> "… is not"; "X plays for" -> "X does not play for"; "X, created
    by" -> "X, not created by"; "X's owner" -> "X's owner is not".
    """
    before, named, after = parts(prompt, subject)
    whole = before + named + after
    if ENDS_IN_BE.search(whole):
        return f"{whole} not"
    if not named:
        return ""
    fixed, rest = last_clause(before + named, after)
    if not before and PLACED.match(rest):
        return f"{fixed} is not{rest}"
    helper = HELPERS.search(rest)
    if helper:
        verb = "cannot" if helper[1] == "can" else f"{helper[1]} not"
        if helper[1].endswith("been"):
            verb = helper[1].replace(" been", " not been")
        return f"{fixed}{rest[: helper.start() + 1]}{verb}{rest[helper.end() :]}"
    denied = negated_rest(rest)
    return fixed + denied if denied else ""


def last_clause(head: str, rest: str) -> tuple[str, str]:
    """Where a sentence ends after the subject, the rest begins after the next one's first word."""
    ends = list(SENTENCE_END.finditer(rest))
    if ends:
        start = ends[-1].end()
        word = PRONOUN.match(rest, start)
        cut = word.end() if word else start
        head, rest = head + rest[:cut], rest[cut:]
    return head, rest


def negated_rest(rest: str) -> str:
    """ " plays for" -> " does not play for"; empty where the words are none that are known."""
    relative = RELATIVE.match(rest)
    start = rest[: relative.end() - 1] if relative else ""
    words = rest[len(start) :]
    inner = re.match(r", (?:they|it|people) ", words)
    if inner:  # "In X, they understand"
        start, words = start + words[: inner.end() - 1], words[inner.end() - 1 :]
    if stands_after_comma(words):
        return f"{start}, not{words[1:]}"
    if not start and is_name(words):
        return f"{words.rstrip(' ,:;')} is not"
    verb = VERB.match(words)
    found = verb and plain_verb(verb[3])
    if not found:
        return ""
    named, adverb = verb[1] or "", verb[2] or ""
    return f"{start}{named} {found[0]} not {adverb}{found[1]}{words[verb.end() :]}"


def stands_after_comma(words: str) -> bool:
    """Whether the words say something of the subject without a verb: ", created by"."""
    first = re.match(r", (\w+)", words)
    return bool(first) and (first[1] in AFTER_COMMA or first[1].endswith(("ed", "ing")))


def is_name(words: str) -> bool:
    """Whether the words only name something of the subject's: "'s owner", " label :"."""
    return bool(NAMED.fullmatch(words))


def plain_verb(word: str) -> tuple[str, str] | None:
    """The helper and the plain form of a verb: "plays" -> ("does", "play"); None for no verb."""
    if word in PLAIN:
        return "do", word
    if word in PAST:
        return "did", PAST[word]
    if word in PRESENT:
        return "does", PRESENT[word]
    if len(word) > 4 and word.endswith("ed"):
        return "did", without_ed(word)
    if len(word) > 3 and word.endswith("ies"):
        return "does", f"{word[:-3]}y"
    if len(word) > 4 and word.endswith(("sses", "shes", "ches", "xes")):
        return "does", word[:-2]
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us")):
        return "does", word[:-1]
    return None


def without_ed(word: str) -> str:
    """The plain form of a regular past tense: "worked" -> "work", "premiered" -> "premiere"."""
    stem = word[:-2]
    if stem.endswith("i"):
        return f"{stem[:-1]}y"
    if re.search(r"([bdgmnprt])\1$", stem):
        return stem[:-1]
    silent = re.search(
        r"(?:at|iz|is|uc|rc|nc|v|ag|rg|ang|pet|ier|pir|quir|ot|os|as|ut|us|dl|ibl)$", stem
    )
    return stem if stem in ("debut", "exist") or not silent else f"{stem}e"


def statement(prompt: str, subject: str | None) -> str:
    """The prompt as a main clause that can stand after "that"; empty for a question's answer.

    "X, created by" -> "X was created by"; "X, who plays" -> "X plays"; "X's owner" -> "X's owner
    is".
    """
    before, named, after = parts(prompt, subject)
    if SENTENCE_END.search(after):
        return ""
    head = lowered(before) + named
    if re.match(r", whose ", after):
        return f"{head}'s {after[len(', whose ') :]}"
    relative = RELATIVE.match(after)
    if relative:
        return f"{head} {after[relative.end() :]}"
    if not before and stands_after_comma(after):
        return f"{head} {being(after)}{after[1:]}"
    if named and is_name(after):
        return f"{head}{after.rstrip(' ,:;')} is"
    if not before and PLACED.match(after):
        return f"{head} is{after}"
    return head + after


def being(after: str) -> str:
    """The verb that ", created by" leaves out."""
    first = re.match(r", (\w+)", after)[1]
    done = first.endswith("ed") or first in ("born", "built", "made", "written")
    return "was" if done and first != "located" else "is"


def lowered(before: str) -> str:
    """The prompt's beginning inside a sentence: its capital goes where it begins no name."""
    first = re.match(r"\w+", before)
    return before[0].lower() + before[1:] if first and first[0] in SMALL else before
