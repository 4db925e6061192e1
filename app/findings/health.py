"""How well a model is with its edits, and what to do, in words."""

from __future__ import annotations

from app.words import number, shortened
from core import Health

MARKS = {"green": "✓ good", "amber": "~ mixed", "red": "✗ bad"}
NUMBERS = ("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
LONGEST_NAME = 28


def health_finding(found: Health) -> str:
    """Perplexity before and after, and how many other answers stay."""
    before, after = number(found.original_perplexity), number(found.perplexity)
    stay = f"; {found.stay} of {found.asked} other answers stay" if found.asked else ""
    return f"Perplexity {before} → {after}{stay}."


def switched_off(found: Health, edits: int) -> tuple[int, ...]:
    """The places of the edits to switch off; none where the model is well, or it is not known
    yet. `edits` is how many there are."""
    if found.alone is not None:
        return (found.alone,)
    return tuple(range(edits - found.last_to_switch_off, edits))


def advice(found: Health, names: list[str]) -> str:
    """What to do, as a button says it; empty where there is nothing to do. `names` are those of
    all edits."""
    off = switched_off(found, len(names))
    if not off:
        return ""
    if len(off) == len(names):
        return "Switch it off" if len(off) == 1 else "Switch all of them off"
    if len(off) == 1:
        return f"Switch off “{shortened(names[off[0]], LONGEST_NAME)}”"
    many = NUMBERS[len(off) - 2] if len(off) - 2 < len(NUMBERS) else str(len(off))
    return f"Switch off the last {many}"
