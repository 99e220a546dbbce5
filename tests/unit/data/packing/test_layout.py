"""Where rows end, and which pieces share one, against walks in plain Python."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from megatron_speech.data.packing.layout import NOWHERE, SpeechSpans, fit, row_starts


@settings(max_examples=60, deadline=None)
@given(need=st.lists(st.integers(1, 1100), min_size=1, max_size=60), capacity=st.sampled_from([1100, 1500]))
def test_best_fit_is_the_plain_one(need: list[int], capacity: int):
    rooms: list[int] = []
    for size in sorted(need, reverse=True):
        enough = [room for room in rooms if room >= size]
        if enough:
            rooms.remove(min(enough))
        rooms.append(min(enough, default=capacity) - size)
    bins = fit(np.array(need), capacity)
    assert sorted(position for members in bins for position in members) == list(range(len(need)))
    assert all(members == sorted(members) for members in bins) and bins == sorted(bins)
    # Which of several rows with equal room takes a document is left open.
    assert sorted(capacity - sum(need[position] for position in members) for members in bins) == sorted(rooms)


@settings(max_examples=150, deadline=None)
@given(sizes=st.lists(st.tuples(st.integers(0, 9), st.integers(1, 14)), max_size=12), seq_length=st.integers(3, 12))
def test_rows_end_as_late_as_spans_allow(sizes: list[tuple[int, int]], seq_length: int):
    spans, end = SpeechSpans([], []), 2
    for gap, size in sizes:
        spans.first.append(end + gap)
        spans.last.append(end + gap + size - 1)
        end += gap + size
    starts = row_starts(0, end, seq_length, spans)
    for start, stop in zip(starts, [*starts[1:], end - 1], strict=True):
        assert 0 < stop - start <= seq_length
        # A span longer than a row is cut, but begins a row.
        closed = [
            (first, last) for first, last in zip(*spans, strict=True) if first > start or last - first <= seq_length
        ]
        allowed = [t for t in range(start + 1, start + seq_length + 1) if not any(f < t < n for f, n in closed)]
        if stop == end - 1:
            continue
        if allowed[-1] == start + seq_length - 1:  # no boundary can be noted there
            allowed.pop()
        assert stop == allowed[-1]
    assert row_starts(0, end, seq_length, NOWHERE) == list(range(0, end - 1, seq_length))
