"""Text from users and models, made safe to stand in Markdown, and numbers as people say them."""

from __future__ import annotations

import math
import re

# The characters that would be invisible in a token, and what is shown instead.
VISIBLE = {" ": "·", "\n": "↵", "\t": "⇥", "\r": "↵", "\u00a0": "⍽", "\u200b": "∅"}
# Marks that turn the direction of all that follows, our own words too; and what is no text:
# control characters, halves of characters, and two that are never one.
TURNING = re.compile("[\u202a-\u202e\u2066-\u2069]")
NO_TEXT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
PUNCTUATION = re.compile(r"([!-/:-@\[-`{-~])")
# What Streamlit replaces once the Markdown is read, where no backslash counts: :shortcodes:, its
# icons and logo, addresses, and arrows and the like. A mark without width in their middle does.
REPLACED = re.compile(
    r":(?=[\w+-]+:|//)|(?i:www)(?=\.)|@(?=[\w-]+\.)|(?<!\S)[<>~-](?=-?[->=](?!\S))"
)
JOINER = "\u2060"
INDENT = re.compile(r"(?<![^\r\n])[ \t]+")  # of a line: four spaces would make it a block of code


def visible(token: str) -> str:
    """A token with its spaces and line breaks to be seen."""
    if token.isprintable():  # as nearly all are: of what is not to be seen, they hold spaces
        return token.replace(" ", VISIBLE[" "]) or "∅"
    return "".join(VISIBLE.get(c, c) for c in shown_characters(token)) or "∅"


def shown_characters(text: str) -> str:
    """The text with a sign for each character that would not be shown, or would turn others."""
    return TURNING.sub("⇄", NO_TEXT.sub("\ufffd", text))


def shortened(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def code_span(text: str) -> str:
    """Any text as Markdown inline code: shown letter by letter, never interpreted."""
    text = visible(text).replace(":material/", f":{JOINER}material/")  # Streamlit's own icons
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", text)), default=0))
    padding = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{padding}{text}{padding}{fence}"


def plain(message: str) -> str:
    """A message that may quote a user's text, as Markdown that shows it as it is."""
    kept = shown_characters(message)
    kept = INDENT.sub(lambda spaces: "\u00a0" * len(spaces[0].expandtabs(4)), kept)
    kept = REPLACED.sub(lambda found: found[0] + JOINER, kept)
    return PUNCTUATION.sub(r"\\\1", kept)


def place(rank: int, vocabulary: int) -> str:
    """A 0-based lens rank in words: "first", "last", or "number 37", of all tokens."""
    if rank == 0:
        return f"first of {vocabulary:,}"
    if rank == vocabulary - 1:
        return f"last of {vocabulary:,}"
    return f"number {rank + 1:,} of {vocabulary:,}"


def number(value: float, digits: int = 3) -> str:
    """As people write it: 2,983; 47.2; 0.91; 0.0031; 3.1 × 10⁻⁸. `digits` are significant."""
    size = abs(float(value))
    if math.isnan(size):
        return "–"
    if size == 0 or math.isinf(size):
        return "0" if size == 0 else "∞" if value > 0 else "−∞"
    power = math.floor(math.log10(size))
    if power < -5:
        mantissa, exponent = f"{value:.1e}".split("e")
        return f"{mantissa} × 10{str(int(exponent)).translate(SUPERSCRIPTS)}"
    text = f"{value:,.{max(0, digits - 1 - power)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def megabytes(size: int) -> str:
    if size >= 999.5e6:  # what would round to 1000 MB
        return f"{size / 1e9:.1f} GB"
    return f"{size / 1e6:.0f} MB"


def layer_list(layers: list[int]) -> str:
    """[0, 1, 2, 5] -> "0-2 and 5"."""
    runs: list[list[int]] = []
    for layer in layers:
        if runs and layer == runs[-1][-1] + 1:
            runs[-1].append(layer)
        else:
            runs.append([layer])
    return joined([f"{r[0]}-{r[-1]}" if len(r) > 1 else str(r[0]) for r in runs])


def named_layers(numbers: list[int]) -> str:
    """[3] -> "layer 3", [2, 0, 1] -> "layers 0-2"."""
    return f"layer{'' if len(numbers) == 1 else 's'} {layer_list(sorted(numbers))}"


def joined(parts: list[str]) -> str:
    """["a", "b", "c"] -> "a, b and c"."""
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]


def count(number: int, thing: str) -> str:
    """ "1 token", "2 tokens"."""
    return f"{number} {thing}" + ("" if number == 1 else "s")


def file_name(name: str) -> str:
    """A user's name for something, as the stem of a file's name."""
    return re.sub(r"[^\w-]+", "-", name).strip("-")[:60] or "edit"


def duration(seconds: float) -> str:
    """Rounded, as people say it: "8 seconds", "3 minutes"."""
    if seconds < 90:
        whole = max(1, round(seconds))
        return f"{whole} second{'s' if whole > 1 else ''}"
    return f"{round(seconds / 60)} minutes"


def percent(share: float) -> str:
    """As people say it, and never a false 0% or 100%."""
    if share < 0.0005:
        return "<0.1%"
    return ">99.9%" if share > 0.9995 else f"{share:.1%}"
