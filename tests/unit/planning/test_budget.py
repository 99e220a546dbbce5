"""The mixture of the paper follows from its hours and texts; costs follow from speed, failures and prices."""

from __future__ import annotations

import math

import pytest

from megatron_speech.config.inspection.plan_run import CorporaConfig, SiteConfig
from megatron_speech.planning.budget import budget_of, data_of, tenfold
from megatron_speech.planning.gpus import gpu
from megatron_speech.planning.job import Job
from megatron_speech.planning.search import predict
from megatron_speech.planning.stacks import stack
from tests.unit.planning.jobs import GLM4_9B

PAPER = CorporaConfig(
    speech_hours=700_000,
    supervised_hours=244_444,
    supervised_text_tokens=3.5e9,
    interleave_text_tokens=398.6e9,
    text_tokens=10e12,
    epochs={"interleaved": 0.90, "speech": 2.10, "supervised": 2.07, "text": 0.03},
)
OWN = predict(
    Job(
        shape=GLM4_9B,
        sequence=8192,
        gpu=gpu("H100"),
        stack=stack("megatron"),
        gpus=256,
        tensor=2,
        pipeline=4,
        global_batch=1024,
    )
)


def test_the_papers_mixture_within_one_percent() -> None:
    data = data_of(PAPER, tokens=None, sequence=8192)
    assert data.seen == pytest.approx(1055.7e9, rel=0.01)
    assert data.speech_per_replaced_text == pytest.approx(3.81, rel=0.01)
    assert data.kinds["speech"].speech_tokens == pytest.approx(31.5e9, rel=0.01)
    kinds = {name: kind.seen / 1e9 for name, kind in data.kinds.items()}
    table = {"interleaved": 660.6, "speech": 65.1, "supervised": 30.0, "text": 300}
    assert kinds == pytest.approx(table, rel=0.02)
    assert data.synthesis_gpu_hours == pytest.approx(5056, rel=0.01)
    read = 455e9 * 0.9 + 279e9 * 0.9 + 31.5e9 + 14.5e9 + 300e9
    assert data.shard_bytes == pytest.approx(4 * read, rel=0.01)


def test_text_fills_what_is_left() -> None:
    corpora = CorporaConfig(speech_hours=700_000, text_tokens=10e12)
    data = data_of(corpora, tokens=1e12, sequence=8192)
    assert data.seen == pytest.approx(1e12)
    assert data.kinds["text"].epochs == pytest.approx((1e12 - 31.5e9) / 10e12)


def test_days_failures_and_energy_follow_from_the_speed() -> None:
    site = SiteConfig(failure_gpu_hours=50_000, restart_minutes=15, storage_gb_s=20)
    budget = budget_of(OWN, site, {"gpu_hour": {"h100": 2.0}, "kilowatt_hour": 0.1}, tokens=1e12)
    assert budget.days == pytest.approx(1e12 / OWN.speed / 256 / 86400)
    assert budget.days_low < budget.days < budget.days_high
    between = 50_000 / 256 * 3600
    assert budget.checkpoint_every_s == pytest.approx(math.sqrt(2 * budget.checkpoint_write_s * between))
    assert budget.checkpoint_bytes == 14 * GLM4_9B.parameters
    assert 0.98 < budget.goodput < 1
    assert budget.failures == pytest.approx(budget.gpu_hours / 50_000)
    assert budget.money["GPU hours"] == pytest.approx(2 * budget.gpu_hours)
    assert budget.money["energy"] == pytest.approx(100 * budget.megawatt_hours)


def test_storage_costs_shards_and_kept_checkpoints_while_the_run_lasts() -> None:
    site, prices = SiteConfig(), {"terabyte_month": 20}
    budget = budget_of(OWN, site, prices, tokens=1e12, shard_bytes=4e12, kept_checkpoints=3)
    terabytes = 4 + 3 * budget.checkpoint_bytes / 1e12
    assert budget.money == {"storage": pytest.approx(20 * terabytes * budget.days_with_failures / 30.4, rel=0.01)}


def test_the_price_of_the_longest_name_counts() -> None:
    prices = {"gpu_hour": {"H100-SXM": 3.0, "H100": 2.0, "GB300": 9.0}}
    budget = budget_of(OWN, SiteConfig(), prices, tokens=1e12)
    assert budget.money == {"GPU hours": pytest.approx(3 * budget.gpu_hours)}


@pytest.mark.parametrize(
    ("prices", "message"),
    [
        ({"gpu_hours": {"H100": 2}}, "gpu_hours is no item; items are gpu_hour, kilowatt_hour, terabyte_month"),
        ({"gpu_hour": {"GB300": 2}}, "gpu_hour has no price for H100-SXM-80GB; add it"),
        ({"gpu_hour": 3}, "gpu_hour=3 must map names of GPUs to prices"),
        ({"terabyte_month": "abc"}, "terabyte_month='abc' must be a number of at least 0"),
    ],
)
def test_a_price_file_that_cannot_be_used_is_refused(prices: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=rf"^site\.prices: {message}"):
        budget_of(OWN, SiteConfig(), prices, tokens=1e12)


def test_more_failures_cost_more() -> None:
    costs = [budget_of(OWN, SiteConfig(failure_gpu_hours=each), {}, tokens=1e12).goodput for each in (50_000, 500)]
    assert costs[1] < costs[0]


def test_priors_divide_ten_times_the_compute() -> None:
    for prior in ("from_scratch", "text_initialised"):
        size, data, _ = tenfold(prior)
        assert size * data == pytest.approx(10)
    assert tenfold("text_initialised")[0] > tenfold("from_scratch")[0]


@pytest.mark.parametrize("price", [-1, float("nan"), "cheap", True])
def test_a_price_must_be_a_number(price: object) -> None:
    with pytest.raises(ValueError, match=r"^site\.prices: kilowatt_hour=.* must be a number of at least 0"):
        budget_of(OWN, SiteConfig(), {"kilowatt_hour": price}, tokens=1e12)
