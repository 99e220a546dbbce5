"""Facts of a round trip."""

import numpy as np
import pytest

from megatron_speech.text_to_token.round_trip import compare

TEXTS = ["the red car stopped", "good morning", "cold water"]
TRUE = [np.zeros(10, dtype=np.int32), np.zeros(4, dtype=np.int32), np.zeros(6, dtype=np.int32)]


def test_failures_are_counted_apart() -> None:
    facts = compare(
        TEXTS,
        true=TRUE,
        made=[np.zeros(15, dtype=np.int32), None, np.zeros(6, dtype=np.int32)],
        heard_true=TEXTS,
        heard=["the red car started", None, "cold water"],
    )
    assert facts["failures"] == 1 and facts["texts"] == 3
    assert facts["wer_true_codes"] == 0
    assert facts["wer"] == pytest.approx(1 / 6)
    assert facts["wer_with_failures"] == pytest.approx(3 / 8)
    assert facts["length_ratio_median"] == pytest.approx(1.25)
    assert (facts["speech_tokens"], facts["speech_tokens_true"]) == (21, 16)


def test_nothing_synthesised_has_no_rate() -> None:
    facts = compare(TEXTS, true=TRUE, made=[None] * 3, heard_true=TEXTS, heard=[None] * 3)
    assert facts["wer"] is None and facts["wer_with_failures"] == 1.0 and facts["length_ratio_median"] is None
