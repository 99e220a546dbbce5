"""Normalisation and error rates."""

from __future__ import annotations

import pytest

from megatron_speech.metrics.word_errors import error_rates, normalize


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("  Hello, World!  ", "hello world"),
        ("Twenty-one dogs (barking)", "21 dogs"),
        ("We can't", "we can not"),
        ("Dr. Smith", "doctor smith"),
        ("...", ""),
    ],
)
def test_normalize(text: str, normal: str) -> None:
    assert normalize(text) == normal


def test_rates_count_words_over_all_pairs() -> None:
    rates = error_rates(["cat dog bird", "red green"], ["cat dogs bird", "green green blue"])
    assert rates["words"] == 5
    assert (rates["substitutions"], rates["deletions"], rates["insertions"]) == (2, 0, 1)
    assert rates["wer"] == pytest.approx(3 / 5)


def test_nothing_heard_is_an_error_of_one() -> None:
    assert error_rates(["alpha"], [""])["wer"] == 1.0


def test_references_without_words_are_left_out_and_counted() -> None:
    rates = error_rates(["alpha", "!"], ["alpha", "noise"])
    assert (rates["wer"], rates["utterances"], rates["skipped"]) == (0.0, 1, 1)


def test_unpaired_lists_are_refused() -> None:
    with pytest.raises(ValueError, match="2 references but 1 hypotheses; give one for each"):
        error_rates(["a", "b"], ["a"])


def test_no_words_at_all_is_refused() -> None:
    with pytest.raises(ValueError, match="none of 1 references"):
        error_rates(["..."], ["x"])
