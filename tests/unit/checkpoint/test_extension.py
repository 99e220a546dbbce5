"""New embedding rows follow the old rows' distribution; old rows are untouched; nothing but the arguments matters."""

from __future__ import annotations

import pytest
import torch

from megatron_speech.checkpoint.extension import draw_rows, extend_embedding
from megatron_speech.vocabulary import Vocabulary


def rows(count: int, width: int, *, rank: int | None = None) -> torch.Tensor:
    draw = torch.Generator().manual_seed(0)
    mix = torch.randn(rank or width, width, generator=draw)
    return 0.3 + torch.randn(count, rank or width, generator=draw) @ mix


def test_layout_of_the_grown_embedding() -> None:
    vocabulary = Vocabulary(num_text_ids=100, num_speech_ids=20, padding_multiple=64)
    old = rows(100, 8).to(torch.bfloat16)
    grown = extend_embedding(old, vocabulary=vocabulary, seed=1)
    assert grown.shape == (128, 8) and grown.dtype == torch.bfloat16
    assert torch.equal(grown[:100], old)
    assert (grown[100 : vocabulary.size].abs().sum(1) > 0).all()
    assert not grown[vocabulary.size :].any()


def test_new_rows_have_the_mean_and_covariance_of_the_old() -> None:
    old = rows(4000, 6).double()
    new = draw_rows(old, 40_000, seed=0)
    scale = old.std()
    assert (new.mean(0) - old.mean(0)).abs().max() < 0.03 * scale
    assert (new.T.cov() - old.T.cov()).abs().max() < 0.05 * scale**2


def test_fewer_rows_than_dimensions_stay_in_their_span() -> None:
    old = rows(5, 64).double()
    new = draw_rows(old, 10, seed=0)
    assert torch.isfinite(new).all()
    basis = (old - old.mean(0)).T
    away = new - old.mean(0)
    residue = away.T - basis @ torch.linalg.lstsq(basis, away.T).solution
    assert residue.abs().max() < 1e-6


def test_only_the_seed_changes_the_draw() -> None:
    old = rows(50, 8)
    torch.manual_seed(1)
    first = draw_rows(old, 4, seed=3)
    torch.manual_seed(2)
    assert torch.equal(first, draw_rows(old, 4, seed=3))
    assert not torch.equal(first, draw_rows(old, 4, seed=4))


def test_a_foreign_tokenizer_is_refused() -> None:
    with pytest.raises(ValueError, match="num_text_ids=100 but the model's embedding has 90 rows"):
        extend_embedding(rows(90, 8), vocabulary=Vocabulary(num_text_ids=100, num_speech_ids=4), seed=0)
