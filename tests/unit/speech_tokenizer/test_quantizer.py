"""Nearest codes, k-means, running averages, restarts, and ranks that agree."""

from __future__ import annotations

import pytest
import torch
import torch.distributed as dist

from megatron_speech.speech_tokenizer.quantizer import (
    Codebook,
    EmaUpdate,
    assignment_sums,
    kmeans,
    nearest_codes,
    perplexity,
)
from tests.ranks import run_ranks


def make_update(*, num_codes: int = 4, width: int = 3, decay: float = 0.9, interval: int | None = None) -> EmaUpdate:
    torch.manual_seed(3)
    codebook = Codebook(num_codes, width)
    weight = codebook.weight.detach().clone()
    return EmaUpdate(codebook, torch.ones(num_codes), weight, decay=decay, restart_interval=interval, seed=0)


def test_nearest_code_matches_all_distances() -> None:
    vectors, codebook = torch.randn(100, 8), torch.randn(12, 8)
    expected = torch.cdist(vectors, codebook).argmin(dim=1)
    assert torch.equal(nearest_codes(vectors, codebook, chunk=7), expected)
    assert nearest_codes(vectors[:0], codebook).shape == (0,)


def test_kmeans_finds_separate_clusters() -> None:
    centres = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
    vectors = (centres[:, None] + 0.1 * torch.randn(3, 50, 2)).flatten(0, 1)
    found = kmeans(vectors, 3, iterations=20, generator=torch.Generator().manual_seed(1))
    assert torch.cdist(centres, found).min(dim=1).values.max() < 0.2


def test_kmeans_needs_as_many_vectors_as_codes() -> None:
    with pytest.raises(ValueError, match="codebook_size=8 needs at least as many frames"):
        kmeans(torch.randn(7, 2), 8, iterations=1, generator=torch.Generator())


def test_codes_move_to_the_mean_of_their_vectors() -> None:
    update = make_update()
    target, numbers = torch.full((50, 3), 2.0), torch.arange(50)
    codes = torch.zeros(50, dtype=torch.long)
    untouched = update.codebook.weight[1].clone()
    for _ in range(200):
        update.step(target, codes, numbers)
    torch.testing.assert_close(update.codebook.weight[0], torch.full((3,), 2.0), rtol=1e-3, atol=1e-3)
    # Nothing chose it: count and sum decay together.
    torch.testing.assert_close(update.ema_weight[1] / update.ema_count[1], untouched)


def test_one_update_is_the_formula() -> None:
    update = make_update(decay=0.9)
    vectors, codes = torch.randn(6, 3), torch.tensor([0, 0, 1, 2, 2, 2])
    count = 0.9 + 0.1 * torch.bincount(codes, minlength=4)
    counts, sums = assignment_sums(vectors, codes, 4)
    assert torch.equal(counts, torch.tensor([2.0, 1.0, 3.0, 0.0]))
    weight = 0.9 * update.ema_weight + 0.1 * sums
    smooth = (count + 1e-5) / (count.sum() + 4e-5) * count.sum()
    update.step(vectors, codes, torch.arange(6))
    torch.testing.assert_close(update.codebook.weight, weight / smooth[:, None])


@pytest.mark.parametrize("num_vectors", [0, 1, 2, 5])
def test_more_dead_codes_than_vectors_restart_without_error(num_vectors: int) -> None:
    update = make_update(num_codes=16, interval=5)
    vectors = torch.randn(num_vectors, 3)
    assert int(update.dead().sum()) == 16  # nobody chose any yet
    restarted = [
        update.step(vectors, torch.zeros(num_vectors, dtype=torch.long), torch.arange(num_vectors)) for _ in range(5)
    ]
    assert restarted == [0, 0, 0, 0, 0 if num_vectors == 0 else 15]
    if num_vectors:
        distance = torch.cdist(update.codebook.weight[1:], vectors).min(dim=1).values
        assert distance.max() < 1e-3
    assert torch.isfinite(update.codebook.weight).all()


def test_codes_in_use_are_not_restarted() -> None:
    update = make_update(num_codes=4, interval=3)
    codes = torch.tensor([0, 1, 2, 3])
    assert not any(update.step(torch.randn(4, 3), codes, codes) for _ in range(30))
    assert not update.dead().any()


def test_unused_codes_restart_at_the_first_interval_and_rare_ones_live() -> None:
    """At the defaults, where averages say neither: an unused code's count is 0.37 by then, a rare code's below."""
    update = make_update(num_codes=4, decay=0.99, interval=100)
    update.ema_count.copy_(torch.tensor([1.0, 1e-9, 1.0, 1.0]))
    one, restarts, dead = torch.zeros(1, dtype=torch.long), [], []
    for number in range(1, 301):
        # Code 0 always, code 1 once in an interval, 2 and 3 never.
        codes = torch.ones_like(one) if number % 100 == 50 else one
        restarts.append(update.step(torch.randn(1, 3), codes, one))
        dead.append(int(update.dead().sum()))
    assert {number: count for number, count in enumerate(restarts, 1) if count} == {100: 2, 200: 2, 300: 2}
    assert dead[0] == 3 and dead[60] == 2 and dead[-1] == 0


def test_restarts_depend_on_the_update_not_on_the_process() -> None:
    """A resumed training restarts onto the vectors that the uninterrupted one would have taken."""
    whole = make_update(num_codes=16, interval=2)
    batches = torch.randn(4, 9, 3)
    codes, numbers = torch.zeros(9, dtype=torch.long), torch.arange(9)
    for batch in batches[:3]:
        whole.step(batch, codes, numbers)
    resumed = make_update(num_codes=16, interval=2)
    for name in ("ema_count", "ema_weight", "idle_K"):
        getattr(resumed, name).copy_(getattr(whole, name))
    resumed.num_updates = 3
    for update in (whole, resumed):
        assert update.step(batches[3], codes, numbers) == 15
    assert torch.equal(whole.codebook.weight, resumed.codebook.weight)


def test_ranks_keep_the_codebook_of_one_process() -> None:
    run_ranks(_check_ranks_agree, 2)


def _check_ranks_agree(rank: int, world_size: int, init_method: str) -> None:
    torch.manual_seed(0)
    vectors, codes = torch.randn(4, 9, 3), torch.randint(0, 3, (4, 9))
    # 16 codes of which 13 are never chosen: more are dead than a rank, or the batch, has vectors.
    alone = make_update(num_codes=16, interval=2)
    numbers = torch.arange(9)
    for step in range(4):
        alone.step(vectors[step], codes[step], numbers)
    dist.init_process_group("gloo", init_method=init_method, rank=rank, world_size=world_size)
    shared = make_update(num_codes=16, interval=2)
    # Uneven and interleaved shares: rank 0 has every third vector, and none in the last step, which restarts codes.
    restarted = 0
    for step in range(4):
        mine = numbers % 3 == (0 if step < 3 else -1)
        part = mine if rank == 0 else ~mine
        restarted += shared.step(vectors[step, part], codes[step, part], numbers[part])
    assert restarted > 0
    torch.testing.assert_close(shared.codebook.weight, alone.codebook.weight, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(shared.ema_count, alone.ema_count, rtol=1e-6, atol=1e-6)
    assert torch.equal(shared.idle_K, alone.idle_K)
    dist.destroy_process_group()


def test_perplexity_counts_codes_in_effective_use() -> None:
    assert perplexity(torch.tensor([5, 5, 5, 5, 0])) == pytest.approx(4.0)
    assert perplexity(torch.tensor([7, 0, 0])) == pytest.approx(1.0)
