"""Codes: nobody guesses one, everybody can read one out loud, and none is kept.

A facilitator's code begins with the participants' one, so that a facilitator's session can show
the link for all, and write that one into addresses that are passed on.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets

ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"  # without 0 and o, 1, i and l
GROUPS, LETTERS = 3, 4  # 59 bits
LENGTH = GROUPS * LETTERS
LONGEST = 200  # of what somebody types as a code


def new_code() -> str:
    """Three groups of four, as in kqmp-7xw3-ab9d."""
    return grouped("".join(secrets.choice(ALPHABET) for _ in range(LENGTH)))


def lead_code(code: str) -> str:
    """A facilitator's code for a workshop with this code: the same, and as much again."""
    return f"{code}-{new_code()}"


def shared_part(code: str) -> str:
    """The participants' code in a facilitator's one; a participant's is its own."""
    return grouped(bare(code)[:LENGTH])


def bare(code: str) -> str:
    """A code as it is compared: however it was written, or heard."""
    return "".join(letter for letter in code[:LONGEST].lower() if letter.isalnum())


def grouped(letters: str) -> str:
    return "-".join(letters[i : i + LETTERS] for i in range(0, len(letters), LETTERS))


def new_salt() -> str:
    return secrets.token_hex(16)


def hashed(code: str, salt: str) -> str:
    return hashlib.sha256(f"{salt}:{bare(code)}".encode()).hexdigest()


def fits(code: str, salt: str, kept: str) -> bool:
    """Whether a code is the one whose hash is kept; takes as long whether it is or not."""
    return hmac.compare_digest(hashed(code, salt), kept)
