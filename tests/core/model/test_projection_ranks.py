"""lens_ranks: every row's own tokens, ranked as `project` ranks them."""

import pytest
import torch

from core.model.projection import lens_ranks, project


def test_ranks_are_those_of_project_for_each_rows_own_tokens(model):
    generator = torch.Generator().manual_seed(0)
    vectors = torch.randn(7, model.d_model, generator=generator)
    wanted = torch.randint(0, model.vocabulary_size, (7, 3), generator=generator)
    ranks = lens_ranks(model, vectors, wanted)
    assert ranks.shape == (7, 3)
    for row in range(7):
        ids = tuple(wanted[row].tolist())
        seen = project(model, vectors, top_k=1, rank_of=ids)
        assert ranks[row].tolist() == seen.ranks[row].tolist()


def test_ranks_count_the_tokens_that_score_higher(model):
    vectors = torch.randn(4, model.d_model)
    with torch.no_grad():
        logits = model.unembedding(model.final_norm(vectors)).double()
    top, bottom = logits.argmax(-1), logits.argmin(-1)
    ranks = lens_ranks(model, vectors, torch.stack([top, bottom], 1))
    assert ranks[:, 0].tolist() == [0] * 4
    assert ranks[:, 1].tolist() == [model.vocabulary_size - 1] * 4


def test_ranks_do_not_depend_on_the_chunks(model, monkeypatch):
    vectors = torch.randn(5, model.d_model)
    wanted = torch.arange(10).reshape(5, 2)
    whole = lens_ranks(model, vectors, wanted)
    monkeypatch.setattr("core.model.projection.LOGIT_BYTES", 1)
    assert torch.equal(lens_ranks(model, vectors, wanted), whole)


@pytest.mark.parametrize("words", [1, 2])
def test_no_rows_have_no_ranks(model, words):
    nothing = torch.empty(0, model.d_model)
    ranks = lens_ranks(model, nothing, torch.empty(0, words, dtype=torch.long))
    assert ranks.shape == (0, words)
    assert ranks.dtype == torch.long
