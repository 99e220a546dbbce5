"""Rates divide exactly or are refused."""

import pytest

from megatron_speech.audio.rates import SpeechRates


@pytest.mark.parametrize(("token_rate", "frames"), [(50, 2), (25, 4), (12.5, 8), (6.25, 16)])
def test_token_rate_gives_whole_frames(token_rate: float, frames: int) -> None:
    rates = SpeechRates.of_token_rate(token_rate)
    assert rates.frames_per_token == frames
    assert rates.token_rate == token_rate
    assert rates.samples_per_token == 160 * frames


def test_a_token_rate_that_drifts_is_refused() -> None:
    with pytest.raises(ValueError, match=r"token_rate=12 is not a whole division of 100 frames"):
        SpeechRates.of_token_rate(12)


def test_a_hop_that_does_not_divide_is_refused() -> None:
    with pytest.raises(ValueError, match="hop=150 must divide sample_rate=16000"):
        SpeechRates(hop=150)


def test_a_rate_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="frames_per_token=0 must be above 0; use"):
        SpeechRates(frames_per_token=0)


def test_a_started_token_counts() -> None:
    rates = SpeechRates(frames_per_token=8)
    assert [rates.tokens(n) for n in (0, 1, 1280, 1281)] == [0, 1, 1, 2]
    assert rates.frames(1599) == 9
    assert rates.seconds(25) == 2.0
