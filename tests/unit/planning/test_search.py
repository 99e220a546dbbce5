"""A search finds valid layouts that fit, the fastest first, and says why others lose."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from megatron_speech.planning.gpus import gpu
from megatron_speech.planning.job import Job
from megatron_speech.planning.memory import fullest
from megatron_speech.planning.search import (
    Scaling,
    falls_below,
    layouts,
    neighbours,
    predict,
    search,
    strong_scaling,
)
from megatron_speech.planning.stacks import stack
from tests.unit.planning.jobs import GLM4_9B

JOB = Job(shape=GLM4_9B, sequence=8192, gpu=gpu("H100"), stack=stack("megatron"), gpus=64, global_batch=1024)


def test_every_layout_divides_everything() -> None:
    found = list(layouts(JOB))
    assert len(found) > 500
    for job in found:
        assert job.tensor * job.pipeline * job.context * job.copies == job.gpus
        assert job.copies * job.micro_batch * job.micro_batches == job.global_batch
        assert GLM4_9B.layers % (job.pipeline * job.virtual) == 0
        assert job.virtual == 1 or job.micro_batches % job.pipeline == 0


def test_the_fastest_fits_and_none_that_fits_is_faster() -> None:
    best = search(JOB)
    speeds = [each.speed for each in best]
    assert all(one >= other for one, other in pairwise(speeds))
    assert all(each.fits and each.low < each.speed < each.high for each in best)
    room = 0.95 * JOB.gpu.memory_gib * 2**30
    others = [predict(job) for job in list(layouts(JOB))[::17]]
    assert all(other.speed <= best[0].speed * (1 + 1e-9) for other in others if other.memory.needed <= room)


def test_a_larger_gpu_is_never_slower() -> None:
    larger = replace(JOB, gpu=replace(JOB.gpu, memory_gib=160))
    assert search(larger)[0].speed >= search(JOB)[0].speed


def test_neighbours_lose_for_a_reason() -> None:
    best = search(JOB)[0]
    reasons = neighbours(best.job)
    assert len(reasons) > 5
    assert any("exceeds memory by" in each.reason for each in reasons)
    assert any("% slower, mostly" in each.reason for each in reasons)


def test_strong_scaling_loses_and_names_where_it_is_too_far() -> None:
    curve = strong_scaling(search(JOB)[0].job)
    assert curve[0].efficiency == 1
    assert all(one.efficiency >= other.efficiency for one, other in pairwise(curve))
    made = [Scaling(gpus=gpus, speed=1.0, efficiency=share) for gpus, share in ((8, 1.0), (16, 0.9), (32, 0.7))]
    assert (falls_below(made, 0.8), falls_below(made, 0.5)) == (32, None)


def test_a_model_that_fits_nowhere_says_by_how_much() -> None:
    huge = replace(JOB, shape=replace(GLM4_9B, hidden=32768, ffn=131072, heads=256, layers=120))
    with pytest.raises(
        ValueError,
        match=r"^gpus=64 of H100.* no layout fits; the smallest .* needs [\d.]+ GiB of 80 GiB, [\d.]+ too much",
    ):
        search(huge)


def test_where_no_layout_has_room_those_that_fit_are_found() -> None:
    needed = min(fullest(job)[1].needed for job in layouts(JOB)) / 2**30
    tight = replace(JOB, gpu=replace(JOB.gpu, memory_gib=1.01 * needed))
    assert all(each.fits for each in search(tight))
    with pytest.raises(ValueError, match=rf" GiB of {0.99 * needed:g} GiB, {0.01 * needed:.1f} too much"):
        search(replace(JOB, gpu=replace(JOB.gpu, memory_gib=0.99 * needed)))


def test_strong_scaling_passes_the_asked_number_of_gpus() -> None:
    job = replace(JOB, gpu=gpu("GB300"), gpus=72, global_batch=1152)
    assert 72 in [point.gpus for point in strong_scaling(job)]


def test_a_batch_that_divides_nowhere_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^gpus=67: no layout divides the model and train\.global_batch_size=1024"):
        search(replace(JOB, gpus=67))
