"""Times: how long a workshop lasts, read from a few letters and told as people say it."""

from __future__ import annotations

import re

from app.words import count

MINUTE, HOUR, DAY = 60, 3600, 86400
UNITS = {"m": MINUTE, "h": HOUR, "d": DAY}
LONGEST = 366 * DAY


def seconds_of(text: str) -> int:
    """Of "30m", "8h" or "2d"; raises ValueError with a sentence."""
    match = re.fullmatch(r"([1-9][0-9]{0,4})([mhd])", text.strip().lower())
    if not match:
        raise ValueError(
            f"“{text}” is no time until a workshop's end. Write it as 30m, 8h or 2d: a whole "
            "number of minutes, hours or days."
        )
    seconds = int(match[1]) * UNITS[match[2]]
    if seconds > LONGEST:
        raise ValueError(f"“{text}” is too long: a workshop's link works for 366 days at most.")
    return seconds


def told(seconds: float) -> str:
    """Rounded down, as people say it: "40 seconds", "25 minutes", "2 hours", "3 days"."""
    for unit, name in ((DAY, "day"), (HOUR, "hour"), (MINUTE, "minute")):
        if seconds >= 2 * unit or (unit == MINUTE and seconds >= unit):
            return count(int(seconds // unit), name)
    return count(max(0, int(seconds)), "second")


def hours_and_minutes(seconds: float) -> str:
    """As "7 h 59 min", "59 min" or "2 d 3 h"; less than a minute in seconds."""
    seconds = max(0, int(seconds))
    if seconds < MINUTE:
        return f"{seconds} s"
    if seconds < HOUR:
        return f"{seconds // MINUTE} min"
    if seconds < DAY:
        return f"{seconds // HOUR} h {seconds % HOUR // MINUTE} min"
    return f"{seconds // DAY} d {seconds % DAY // HOUR} h"


def clock_face(seconds: float) -> str:
    """As "9:56", or "1:09:56"; never negative."""
    minutes, rest = divmod(max(0, round(seconds)), MINUTE)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
