"""What ROME and MEMIT try when the subject's key does not make the model say the target."""

import pytest
import torch

from core import edit
from core.editing import memit as memit_file
from core.editing import rome as rome_file
from core.editing.memit import weights
from core.editing.rome import attempts
from core.editing.scores import next_tokens, says
from core.editing.subject_edits import (
    Lead,
    at_last_token,
    first_token_only,
    lead_after,
    templates_of,
)
from core.model.edits import Fact
from tests.core.edited_models import PROMPT, SUBJECT, TARGET, logits_of, merged, random_edit

LONG = "Paris and Rome"
# Far enough for a random model, whose words no small shift can choose.
FAST = {"subject": SUBJECT, "steps": 60, "contexts": 2, "lr": 0.3, "clamp": 100.0}
WHERE = {"rome": {"layer": 3}, "memit": {"layers": (3,)}}


def templates(model, target):
    return templates_of(model, Fact(PROMPT, SUBJECT, target), 2)


def test_what_is_asked_for_comes_first_and_the_first_token_alone_last(model):
    group = templates(model, LONG)
    assert list(attempts(group, "subject", False, False)) == [(group, "subject", False)]
    tried = list(attempts(group, "subject", True, True))
    assert tried[0] == (group, "subject", True)
    assert [ways for _, *ways in tried[:3]] == [["subject", True], ["last", False], ["last", True]]
    assert tried[3:] == [(first_token_only(group), place, whole) for _, place, whole in tried[:3]]


def test_the_places_and_goals_of_the_fallbacks(model):
    group = templates(model, LONG)
    assert at_last_token(group).places == tuple(len(row) - 1 for row in group.rows)
    first = first_token_only(group)
    assert first.goal.ids == group.goal.ids[:1]
    assert len(group.goal.ids) > 1
    assert first.rows == group.rows


def test_a_lead_is_what_the_logits_say(model):
    """Hand-computed from the logits of the forced prompt."""
    group = templates(model, LONG)
    edits = [random_edit(model, 2, "ff2", 2)]
    lead = lead_after(model, group, edits, edits[0].changes)
    network = merged(model, [*edits, *edits])  # once active, once tried
    ids = group.rows[0] + group.goal.ids[:-1]
    logits = logits_of(network, ids)[len(group.rows[0]) - 1 :]
    leads = []
    for row, wanted in zip(logits, group.goal.ids, strict=True):
        others = torch.cat([row[:wanted], row[wanted + 1 :]])
        leads.append(float(row[wanted] - others.max()))
    assert lead.first == pytest.approx(leads[0], abs=1e-4)
    assert lead.least == pytest.approx(min(leads), abs=1e-4)


def test_the_whole_target_ranks_before_its_first_token_and_that_before_none():
    whole, first, none = Lead(0.1, 0.1), Lead(5.0, -0.1), Lead(-0.1, -0.1)
    assert whole.rank > first.rank > none.rank


@pytest.mark.parametrize("method", ["rome", "memit"])
def test_where_the_subject_leads_nowhere_the_last_token_does(model, method, monkeypatch):
    """The subject's search is made to find nothing."""
    file = {"rome": rome_file, "memit": memit_file}[method]
    search = file.find_shift
    last = []

    def find(model, group, *args, **settings):
        found = search(model, group, *args, **settings)
        at_end = group.places == at_last_token(group).places
        last.append(at_end)
        if not at_end:
            found.shift.zero_()
        return found

    monkeypatch.setattr(file, "find_shift", find)
    asked = {**FAST, **WHERE[method]}
    stuck = edit(model, PROMPT, TARGET, method=method, adapt=False, **asked)
    assert not says(model, [(PROMPT, TARGET)], [stuck])[0]
    assert stuck.hyperparameters["token"] == "subject"
    found = edit(model, PROMPT, TARGET, method=method, adapt=True, **asked)
    assert says(model, [(PROMPT, TARGET)], [found])[0]
    assert found.hyperparameters["token"] == "last"
    assert last[-1]


@pytest.mark.parametrize("method", ["rome", "memit"])
def test_a_later_token_that_cannot_be_reached_does_not_hide_the_first(model, method, monkeypatch):
    """A search for more than one token finds nothing."""
    file = {"rome": rome_file, "memit": memit_file}[method]
    search = file.find_shift

    def find(model, group, *args, **settings):
        found = search(model, group, *args, **settings)
        if len(group.goal.ids) > 1:
            found.shift.zero_()
        return found

    monkeypatch.setattr(file, "find_shift", find)
    found = edit(model, PROMPT, LONG, method=method, **{**FAST, **WHERE[method]})
    assert next_tokens(model, [PROMPT], [found]) == [model.target(PROMPT, LONG).id]


def test_several_facts_each_go_their_own_way(model, monkeypatch):
    """Only the fact whose subject leads nowhere moves to the last token."""
    search, asked = memit_file.find_shift, []

    def find(model, group, *args, **settings):
        found = search(model, group, *args, **settings)
        at_end = group.places == at_last_token(group).places
        asked.append((group.goal.typed, at_end))
        if group.goal.typed == "Rome" and not at_end:
            found.shift.zero_()
        return found

    monkeypatch.setattr(memit_file, "find_shift", find)
    facts = [Fact(PROMPT, SUBJECT, TARGET), Fact("Merkel was born in", "Merkel", "Rome")]
    memit_file.memit(
        model,
        facts,
        edits=[],
        on_step=lambda done, total: None,
        **memit_file.defaults(model) | {"layers": (1,), "steps": 5, "contexts": 2},
    )
    assert ("Rome", True) in asked
    assert asked.index(("Rome", True)) >= 2


def test_lambda_only_shrinks_and_stays_in_its_bounds():
    assert weights(1.0, False) == [1.0]
    tried = weights(1e-4, True)
    assert tried == sorted(tried, reverse=True)
    assert min(tried) >= 1e-6
