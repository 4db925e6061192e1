"""GPT-2 small against the numbers that the authors' notebook printed, where its weights are."""

import pytest

from core import backward_lens, is_on_this_machine, load_model, trace

RANKS = [  # "Obama grew up in" -> " Paris", FF2's delta: token by layer
    [42090, 50228, 50247, 50251, 50252, 50250, 50252, 50252, 50252, 50253, 50250, None],
    [40829, 47609, 48615, 48238, 44731, 50095, 50172, 50085, 50235, 50255, 50244, None],
    [47637, 47588, 49012, 47465, 48453, 50023, 50013, 50220, 50236, 50222, 50170, None],
    [49593, 50250, 50243, 50255, 50255, 50255, 50256, 50256, 50256, 50256, 50255, 50255],
]
NORMS = [
    [0.0992, 0.0600, 0.0499, 0.0492, 0.0497, 0.0498, 0.0473, 0.0405, 0.0340, 0.0248, 0.0147, 0],
    [0.1788, 0.1843, 0.1659, 0.1378, 0.1257, 0.1178, 0.0922, 0.0880, 0.0724, 0.0271, 0.0159, 0],
    [0.1332, 0.2126, 0.2134, 0.1803, 0.1530, 0.1311, 0.1189, 0.0933, 0.0581, 0.0317, 0.0221, 0],
    [
        *(0.1152, 0.1888, 0.2457, 0.2588, 0.2834, 0.2969),
        *(0.3333, 0.3002, 0.2762, 0.2441, 0.2107, 0.1932),
    ],
]


def test_obama_grew_up_in_paris():
    if not is_on_this_machine("gpt2"):
        pytest.skip("GPT-2's weights are not on this machine (load_model('gpt2') fetches them)")
    run = trace(load_model("gpt2", device="cpu"), "Obama grew up in", "Paris")
    assert run.target.id == 6342
    assert run.loss == pytest.approx(7.4214, abs=1e-3)
    assert run.answer == " a"
    for row in backward_lens(run).itertuples():
        assert row.norm == pytest.approx(NORMS[row.position][row.layer], abs=1e-4)
        expected = RANKS[row.position][row.layer]
        if expected is not None:  # theirs were taken on probabilities: a tie or two may differ
            assert row.target_rank == pytest.approx(expected, abs=3)
