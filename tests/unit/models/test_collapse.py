"""Effective rank and spread of embeddings, beside plain references in float64."""

import math

import numpy as np
import pytest
import torch

from vipl.errors import UserError
from vipl.models.collapse import CollapseSettings, Extent, effective_rank, relative_spread, spread


def reference_rank(embeddings):
    """RankMe as its paper writes it: every singular value by itself."""
    values = np.linalg.svd(np.asarray(embeddings, np.float64), compute_uv=False)
    shares = [value / values.sum() for value in values if value > 0]
    return math.exp(-sum(share * math.log(share) for share in shares))


@pytest.mark.parametrize("shape", [(200, 16), (16, 200), (30, 30)])
def test_the_effective_rank_is_that_of_the_singular_values(shape):
    embeddings = np.random.default_rng(0).normal(1.0, 2.0, shape).astype(np.float32)
    embeddings *= np.linspace(0.01, 3, shape[1], dtype=np.float32)
    got = effective_rank(torch.from_numpy(embeddings))
    assert got == pytest.approx(reference_rank(embeddings), rel=1e-6)


def test_effective_ranks_that_are_known():
    assert effective_rank(torch.eye(7)) == pytest.approx(7)
    assert effective_rank(torch.full((40, 512), 3.7)) == pytest.approx(1, abs=1e-3)
    assert effective_rank(torch.outer(torch.arange(1.0, 9), torch.arange(1.0, 300))) < 1.001
    assert math.isnan(effective_rank(torch.zeros(5, 3)))


def test_spreads_by_plain_loops():
    rows = np.random.default_rng(1).normal(5, 2, (50, 3))
    plain = [math.sqrt(sum((x - c.mean()) ** 2 for x in c) / len(c)) for c in rows.T]
    embeddings = torch.from_numpy(rows)
    assert spread(embeddings) == pytest.approx(np.mean(plain))
    size = math.sqrt(np.mean(rows**2))
    assert relative_spread(embeddings) == pytest.approx(math.sqrt(np.mean(np.square(plain))) / size)
    assert relative_spread(10 * embeddings) == pytest.approx(relative_spread(embeddings))
    assert spread(torch.ones(4, 2)) == relative_spread(torch.ones(4, 2)) == 0
    assert relative_spread(torch.zeros(4, 2)) == 0


def test_a_collapse_is_put_in_words():
    settings = CollapseSettings()
    assert settings.verdict(rank=1.5, share=0.1) is None
    assert settings.verdict(rank=1.5, share=1e-9) == "the embeddings do not differ"
    assert settings.verdict(rank=math.nan, share=0.0) == "the embeddings do not differ"
    assert "differ by 0.0005 of their size, expected 0.001" in settings.verdict(rank=3, share=5e-4)
    assert "an effective rank of 1.001, expected 1.01" in settings.verdict(rank=1.001, share=0.5)


@pytest.mark.parametrize(
    ("name", "value"),
    [("min_effective_rank", 0.5), ("min_effective_rank", math.nan), ("min_spread", -1.0)],
)
def test_limits_that_make_no_sense_are_refused(name, value):
    with pytest.raises(UserError, match=f"collapse.{name} is {value}, expected"):
        CollapseSettings(**{name: value})


def test_batches_that_do_not_differ():
    extent = Extent()
    assert not extent.is_a_point
    extent.add(torch.tensor([[1.0, 20.0]]))
    assert not extent.is_a_point  # one alone
    extent.add(torch.tensor([[1.0, 20.0], [1.0, 20.000001]]))
    extent.add(torch.empty(0, 2))
    assert extent.is_a_point
    extent.add(torch.tensor([[1.1, 20.0]]))
    assert not extent.is_a_point
