"""Codes: unguessable, readable, kept as hashes, and slow to try."""

import re

import pytest

from app.workshop.codes import (
    ALPHABET,
    LENGTH,
    LONGEST,
    bare,
    fits,
    hashed,
    lead_code,
    new_code,
    shared_part,
)
from app.workshop.guesses import MINUTE, MOST, PAUSE, Guesses


def test_a_code_is_long_enough_and_can_be_read_out_loud():
    codes = {new_code() for _ in range(200)}
    assert len(codes) == 200
    assert all(re.fullmatch(r"[a-z2-9]{4}(-[a-z2-9]{4}){2}", code) for code in codes)
    assert not set("".join(codes)) & set("0o1il")
    assert len(ALPHABET) ** LENGTH > 2**59


def test_a_code_fits_however_it_is_written_and_no_other_does():
    code = "kqmp-7xw3-ab9d"
    kept = hashed(code, "salt")
    assert code not in kept
    assert fits(code, "salt", kept)
    assert fits(" KQMP 7xw3—ab9D ", "salt", kept)
    for other in ("", "kqmp-7xw3-ab9", "kqmp-7xw3-ab9e", "kqmp-7xw3-ab9dd", "ключ", "x" * 10**6):
        assert not fits(other, "salt", kept)
    assert not fits(code, "another salt", kept)
    assert len(bare("x" * 10**6)) == LONGEST


def test_the_facilitators_code_begins_with_the_participants():
    code = new_code()
    lead = lead_code(code)
    assert bare(lead) != bare(code)
    assert len(bare(lead)) == 2 * LENGTH
    assert shared_part(lead) == code
    assert shared_part(code.upper()) == code


@pytest.fixture
def clock():
    class Clock:
        now = 1000.0

        def __call__(self) -> float:
            return self.now

    return Clock()


def test_many_wrong_codes_in_a_minute_make_the_next_wait_for_a_while(clock):
    guesses = Guesses(clock)
    for _ in range(MOST - 1):
        guesses.note()
    assert guesses.pause == 0
    guesses.note()
    assert guesses.pause == PAUSE
    clock.now += MINUTE - 1
    assert guesses.pause == PAUSE
    clock.now += 1
    assert guesses.pause == 0, "and then it is as before"
    for _ in range(10 * MOST):
        guesses.note()
    assert guesses.pause == PAUSE, "the wait does not grow: nobody is locked out"
    assert len(guesses.times) == MOST
