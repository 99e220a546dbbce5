"""Learning rates never change, not even in their last bit: every seeded training would."""

from typing import Literal

import pytest

from megatron_speech.schedules import factor_by_start, rate_by_end, rate_by_start

UPTO = (1, 37, 99, 100, 101, 333, 777, 1000)
RISE = ["0x1.92a737110e453p-19", "0x1.d19157abb8800p-14", "0x1.376d549731098p-12", "0x1.3a92a30553261p-12"]
PEAK = "0x1.3a92a30553261p-12"


@pytest.mark.parametrize(
    ("decay", "fall"),
    [
        (
            "cosine",
            ["0x1.3a92665091fbcp-12", "0x1.0aff198e1ebc8p-12", "0x1.b229a4ae67c60p-15", "0x1.4f8b588e368f1p-17"],
        ),
        (
            "linear",
            ["0x1.3a3c24140b37ep-12", "0x1.d7b232d5b6affp-13", "0x1.5753bbc868d1cp-14", "0x1.4f8b588e368f1p-17"],
        ),
        ("constant", [PEAK] * 4),
    ],
)
def test_rates_of_pretraining(decay: Literal["cosine", "linear", "constant"], fall: list[str]) -> None:
    rates = [rate_by_end(upto, warmup=100, total=1000, peak=3e-4, last=1e-5, decay=decay) for upto in UPTO]
    assert [rate.hex() for rate in rates] == RISE + fall


def test_rates_of_pretraining_without_warm_up() -> None:
    rates = [
        rate_by_end(upto, warmup=0, total=total, peak=3e-4, last=1e-5, decay="cosine")
        for upto, total in ((1, 1), (0, 0), (5, 7))
    ]
    assert [rate.hex() for rate in rates] == ["0x1.4f8b588e368f1p-17", PEAK, "0x1.0eed41acb3ef7p-14"]


def test_rates_of_a_speech_tokenizer() -> None:
    rates = [
        rate_by_start(step, warmup=7, total=50, peak=3e-4, last_share=0.05) for step in (0, 3, 6, 7, 8, 31, 49, 50)
    ]
    assert [rate.hex() for rate in rates] == [
        "0x1.67830373ccbddp-15",
        "0x1.67830373ccbddp-13",
        PEAK,
        PEAK,
        "0x1.3a2c975739935p-12",
        "0x1.14053434a1334p-13",
        "0x1.02093d4c4216fp-16",
        "0x1.f75104d551d68p-17",
    ]
    assert rate_by_start(0, warmup=0, total=0, peak=1e-3, last_share=0.05) == 1e-3


def test_factors_of_a_speech_decoder() -> None:
    factors = [factor_by_start(step, warmup=5, total=100) for step in (0, 3, 4, 5, 6, 50, 99, 100)]
    assert [factor.hex() for factor in factors] == [
        "0x1.999999999999ap-3",
        "0x1.999999999999ap-1",
        "0x1.0000000000000p+0",
        "0x1.0000000000000p+0",
        "0x1.ffdc2b2e28f27p-1",
        "0x1.1523eb8420f60p-1",
        "0x1.1ea68eb86c800p-12",
        "0x0.0p+0",
    ]
    assert [factor_by_start(step, warmup=1, total=1) for step in (0, 1)] == [1.0, 1.0]


def test_the_roundings_of_the_two_cosines_differ() -> None:
    """Why both are kept: where they agreed at every step, one would do."""
    steps = range(1000)
    one = [rate_by_start(step, warmup=50, total=1000, peak=1.0, last_share=0.0) for step in steps]
    other = [factor_by_start(step, warmup=50, total=1000) for step in steps]
    assert one == pytest.approx(other) and one != other
