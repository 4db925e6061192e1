"""English text cut into words and punctuation marks, as nltk's word_tokenize cuts it.

Small rules instead of a library: ordinary prose comes out the same. It may differ at a full stop
after an abbreviation that is not in ABBREVIATIONS (nltk has a trained model for these), at a single
quotation mark before a word, and in runs of more than two dashes.
"""

from __future__ import annotations

import re

ALONE = re.escape(';@#$%&?!*()[]{}<>"“”«»„‘’')  # each is a word of its own
TOKEN = re.compile(
    rf"\.{{2,}}|--|''|`+|[{ALONE}]|[,:](?!\d)|(?:(?!\.{{2,}}|--|'')[^\s{ALONE}`,:]|[,:](?=\d))+"
)
CLITIC = re.compile(r"(?i)(.*[^' ])('s|'m|'d|'ll|'re|'ve|n't|')$")
STOP = re.compile(
    r"[\]\)}>\"'»”’]*(?:\s*$|\s+[\"'(\[“‘«]*[^\W\d_a-z])"
)  # what follows the end of a sentence
ABBREVIATIONS = (
    *("mr", "mrs", "ms", "dr", "prof", "st", "jr", "sr", "rev", "gen", "col", "capt"),
    *("lt", "sgt", "gov", "sen", "rep", "hon", "co", "corp", "inc", "ltd", "bros", "vs"),
    *("etc", "no", "vol", "fig", "cf", "ca", "al", "jan", "feb", "mar", "apr", "jun"),
    *("jul", "aug", "sep", "sept", "oct", "nov", "dec"),
)
JOINED = {
    "cannot": 3,
    "gimme": 3,
    "gonna": 3,
    "gotta": 3,
    "lemme": 3,
    "wanna": 3,
    "'tis": 2,
    "'twas": 2,
}


def words(text: str) -> list[str]:
    """The words of a text in order: "She doesn't." -> She, does, n't and the full stop."""
    found: list[str] = []
    for match in TOKEN.finditer(text):
        token = match[0]
        if token == '"':
            opens = match.start() == 0 or text[match.start() - 1] in " \t\n([{<"
            found.append("``" if opens else "''")
        elif ends_sentence(token, text, match.end()):
            found += [*cut(token[:-1]), "."]
        else:
            found += cut(token)
    return found


def ends_sentence(token: str, text: str, end: int) -> bool:
    """Whether a word's last full stop is a sentence's: at the text's end, or before a new one."""
    if len(token) < 2 or token[-1] != "." or token[-2] == "." or not STOP.match(text, end):
        return False
    if not text[end:].strip("])}>\"'»”’ \t\r\n"):
        return True
    word = token[:-1]
    short = word.lower() in ABBREVIATIONS or "." in word
    return not short and (len(word) > 1 or not word.isupper())


def cut(word: str) -> list[str]:
    """A word and its clitics: "it's" -> it, 's; "cannot" -> can, not."""
    clitic = CLITIC.match(word)
    if clitic:
        return [*cut(clitic[1]), clitic[2]]
    place = JOINED.get(word.lower())
    return [word[:place], word[place:]] if place else [word]
