"""The health meter's sentence, and what its button says."""

import math
from dataclasses import replace

import pytest

from app.findings.health import advice, health_finding, switched_off
from core import Health

RED = Health(perplexity=400.0, original_perplexity=12.345, stay=3, asked=30)
NAMES = ["first", "second", "third"]


def test_the_sentence_has_both_perplexities_and_the_answers_that_stay():
    assert health_finding(RED) == "Perplexity 12.3 → 400; 3 of 30 other answers stay."
    assert health_finding(replace(RED, stay=0, asked=0)) == "Perplexity 12.3 → 400."
    assert "→ ∞;" in health_finding(replace(RED, perplexity=math.inf))


@pytest.mark.parametrize(
    ("alone", "last", "off", "said"),
    [
        (None, 0, (), ""),
        (1, 0, (1,), "Switch off “second”"),
        (2, 1, (2,), "Switch off “third”"),
        (None, 2, (1, 2), "Switch off the last two"),
        (None, 3, (0, 1, 2), "Switch all of them off"),
    ],
)
def test_what_to_do(alone, last, off, said):
    found = replace(RED, alone=alone, last_to_switch_off=last)
    assert switched_off(found, 3) == off
    assert advice(found, NAMES) == said


def test_a_single_edit_a_long_name_and_many_edits():
    alone = replace(RED, alone=0, last_to_switch_off=1)
    assert advice(alone, ["mine"]) == "Switch it off"
    assert len(advice(alone, ["x" * 200, "other"])) < 45
    many = [str(i) for i in range(30)]
    assert advice(replace(RED, last_to_switch_off=10), many) == "Switch off the last ten"
    assert advice(replace(RED, last_to_switch_off=20), many) == "Switch off the last 20"
