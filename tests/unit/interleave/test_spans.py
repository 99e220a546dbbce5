"""Spans: never touching, exact in expectation, pure, and as many words long as Poisson says."""

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from megatron_speech.interleave.spans import MAX_SNAP, length_probabilities, sample_spans, snap_spans
from megatron_speech.randomness import sha256_number, unit_interval

SETTINGS = {
    "num_words": st.integers(0, 400),
    "ratio": st.floats(0.001, 0.5),
    "mean_length": st.floats(1.0, 60.0),
    "seed": st.integers(0, 2**63),
    "document_id": st.text(max_size=20),
}


@settings(max_examples=400, deadline=None)
@given(**SETTINGS)
def test_spans_lie_in_the_document_and_never_touch(num_words, ratio, mean_length, seed, document_id):
    spans = sample_spans(num_words, ratio=ratio, mean_length=mean_length, seed=seed, document_id=document_id)
    assert all(0 <= start < end <= num_words for start, end in spans)
    assert all(start > end for (_, end), (start, _) in pairwise(spans)), "a text word stands between two spans"
    assert all(end - start <= -(-num_words // 2) for start, end in spans), "no span above half of the document"
    assert num_words < 2 or sum(end - start for start, end in spans) < num_words


def last_drawn(num_words: int, ratio: float, mean_length: float, seed: int, document_id: str) -> int:
    """The length that reaches the target, kept or dropped; 1 if it is the only one: the target is then rounded."""
    draws = np.random.Philox(key=sha256_number(f"{seed}\0{document_id}", num_bytes=16))
    draws.random_raw()  # decides whether the last length is kept
    largest = int(mean_length + 12 * mean_length**0.5) + 24
    up_to = length_probabilities(mean_length, largest).cumsum()
    total = count = 0
    while total < ratio * num_words:
        length = 1 + int(up_to.searchsorted(unit_interval(draws.random_raw(1))[0], side="right"))
        total, count = total + length, count + 1
    return 1 if count < 2 else length


@settings(max_examples=400, deadline=None)
@given(**SETTINGS)
def test_one_document_deviates_by_less_than_its_bound(num_words, ratio, mean_length, seed, document_id):
    spans = sample_spans(num_words, ratio=ratio, mean_length=mean_length, seed=seed, document_id=document_id)
    deviation = abs(sum(end - start for start, end in spans) - ratio * num_words)
    assert deviation == 0 or deviation < last_drawn(num_words, ratio, mean_length, seed, document_id)
    assert deviation == 0 or deviation < -(-num_words // 2)
    if ratio * num_words >= 1:
        assert spans, "a target of a word or more always gives speech"


@given(seed=st.integers(0, 1000), document_id=st.text())
def test_spans_are_a_function_of_seed_and_document(seed, document_id):
    first = sample_spans(300, seed=seed, document_id=document_id)
    np.random.seed(0)  # a global generator must not matter
    assert sample_spans(300, seed=seed, document_id=document_id) == first
    assert sample_spans(300, seed=seed, document_id=document_id + "x") != first
    assert sample_spans(300, seed=seed + 1, document_id=document_id) != first


def test_the_stream_does_not_change_between_versions():
    assert sample_spans(60, seed=1, document_id="wiki-1") == [(21, 26), (38, 51)]


def covered(num_words: int, documents: int, **settings) -> np.ndarray:
    """Spoken words of each of `documents` documents."""
    spans = (sample_spans(num_words, seed=3, document_id=str(i), **settings) for i in range(documents))
    return np.array([sum(end - start for start, end in document) for document in spans])


@pytest.mark.parametrize(
    ("num_words", "ratio", "mean_length"),
    [(n, 0.3, 10.0) for n in (1, 2, 3, 5, 8, 13, 30, 60, 200)]
    + [(77, 0.2, 5.0), (77, 0.4, 20.0), (77, 0.5, 1.0), (7, 0.5, 10.0)],
)
def test_expected_ratio_is_exact_for_every_document_length(num_words, ratio, mean_length):
    words = covered(num_words, 6_000, ratio=ratio, mean_length=mean_length)
    error = words.std() / np.sqrt(len(words))
    assert abs(words.mean() - ratio * num_words) <= 4 * error, f"{words.mean() / num_words=} {error=}"


def test_mean_ratio_over_many_documents():
    words = covered(100, 12_000)
    assert words.mean() / 100 == pytest.approx(0.3, abs=0.002)


def test_lengths_of_a_long_document_are_poisson_without_zero():
    lengths = Counter(end - start for i in range(30) for start, end in sample_spans(20_000, seed=7, document_id=str(i)))
    total = sum(lengths.values())
    expected = length_probabilities(10.0, 40)
    observed = np.array([lengths[n] / total for n in range(1, 41)])
    assert np.abs(np.cumsum(observed) - np.cumsum(expected)).max() < 1.63 / np.sqrt(total)  # Kolmogorov, 1 %
    assert expected.sum() == pytest.approx(1.0, abs=1e-9)


def test_every_place_is_as_likely_as_any_other():
    # 6 words, two spans of one word: 10 pairs of places without touching.
    places = Counter(
        tuple(spans)
        for i in range(16_000)
        if len(spans := sample_spans(6, ratio=0.4, mean_length=1.0, seed=9, document_id=str(i))) == 2
        and all(end - start == 1 for start, end in spans)
    )
    assert len(places) == 10
    counts = np.array(list(places.values()))
    expected = counts.sum() / 10
    assert ((counts - expected) ** 2 / expected).sum() < 27.9  # chi-square, 9 degrees of freedom, 0.1 %


@pytest.mark.parametrize("wrong", [{"ratio": 0.0}, {"ratio": 0.51}, {"ratio": float("nan")}, {"mean_length": 0.9}])
def test_impossible_settings_are_named(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        sample_spans(10, seed=0, document_id="a", **wrong)


BOUNDARIES = st.lists(st.integers(1, 399), max_size=120).map(lambda inner: np.array(sorted({0, 400, *inner})))


@settings(max_examples=300, deadline=None)
@given(BOUNDARIES, st.floats(0.05, 0.5), st.floats(1.0, 60.0), st.integers(0, 1000))
def test_snapped_spans_stay_apart_and_move_little(boundaries, ratio, mean_length, seed):
    spans = sample_spans(400, ratio=ratio, mean_length=mean_length, seed=seed, document_id="a")
    snapped = snap_spans(spans, boundaries, seed=seed, document_id="a") if spans else []
    assert len(snapped) == len(spans)
    assert all(0 <= start < end <= 400 for start, end in snapped)
    assert all(start > end for (_, end), (start, _) in pairwise(snapped))
    for old, new in zip(np.ravel(spans), np.ravel(snapped), strict=True):
        assert old == new or (abs(new - old) <= MAX_SNAP and new in boundaries)


def test_snapping_keeps_the_expected_ratio_and_finds_clauses():
    boundaries = np.array([*range(0, 300, 7), 303, 307, 400])
    at_clause, deviations = [], []
    for i in range(3_000):
        spans = sample_spans(400, seed=5, document_id=str(i))
        snapped = snap_spans(spans, boundaries, seed=5, document_id=str(i))
        deviations.append(np.diff(snapped).sum() - np.diff(spans).sum())
        at_clause.append([np.isin(np.ravel(each), boundaries).mean() for each in (spans, snapped)])
    assert abs(np.mean(deviations)) < 4 * np.std(deviations) / np.sqrt(len(deviations))
    drawn, moved = np.mean(at_clause, axis=0)
    assert moved > 2.5 * drawn, "ends lie at clauses far oftener than by chance"
