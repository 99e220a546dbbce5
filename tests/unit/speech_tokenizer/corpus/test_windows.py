"""Windows of long speech: together they are the clip, every token once, none with less context than asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from megatron_speech.speech_tokenizer.corpus.windows import cut_windows, encode_cut


@given(
    num_samples=st.integers(1, 20_000),
    samples_per_token=st.integers(1, 40),
    max_tokens=st.integers(1, 30),
    data=st.data(),
)
def test_windows_tile_the_clip(num_samples: int, samples_per_token: int, max_tokens: int, data: st.DataObject) -> None:
    overlap = data.draw(st.integers(0, (max_tokens - 1) // 2))
    windows = cut_windows(
        num_samples, samples_per_token=samples_per_token, max_tokens=max_tokens, overlap_tokens=overlap
    )
    total = -(-num_samples // samples_per_token)
    firsts = [window.begin // samples_per_token + window.skip for window in windows]
    kept = [token for first, window in zip(firsts, windows, strict=True) for token in range(first, first + window.keep)]
    assert kept == list(range(total))
    if total <= max_tokens:
        assert len(windows) == 1
    for window in windows:
        tokens = -(-(window.end - window.begin) // samples_per_token)
        assert window.begin % samples_per_token == 0 and (window.end % samples_per_token == 0 or window is windows[-1])
        assert 0 < window.keep <= tokens - window.skip <= max_tokens and 0 <= window.begin < window.end <= num_samples
        assert window.skip == overlap or window is windows[0]
        assert tokens - window.skip - window.keep == overlap or window is windows[-1]


def test_restart_cuts_every_thirty_seconds() -> None:
    windows = cut_windows(16000 * 70 + 1, samples_per_token=1280, max_tokens=375, overlap_tokens=0)
    assert [(window.begin / 16000, window.end / 16000) for window in windows[:2]] == [(0, 30), (30, 60)]
    assert windows[2].end == 16000 * 70 + 1 and [window.keep for window in windows] == [375, 375, 126]


def test_an_overlap_that_leaves_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="overlap of 5 tokens on both sides leaves nothing of a window of 10; lower"):
        cut_windows(1, samples_per_token=1280, max_tokens=10, overlap_tokens=5)


def test_batches_are_counted_as_they_end_and_add_up_to_the_clips() -> None:
    calls: list[int] = []
    told: list[tuple[int, float]] = []

    class Tokenizer:
        def encode(self, pieces: Sequence[np.ndarray], **options: Any) -> list[np.ndarray]:
            calls.append(len(pieces))
            return [piece[::1280].astype(np.int32) for piece in pieces]

    clips = [np.arange(16000 * seconds) for seconds in (70, 3, 31)]
    cuts = [cut_windows(len(clip), samples_per_token=1280, max_tokens=375, overlap_tokens=25) for clip in clips]
    tokenizer: Any = Tokenizer()
    codes = encode_cut(
        *(tokenizer, clips, cuts),
        names=["a", "b", "c"],
        batch_seconds=60,
        advance=lambda seconds: told.append((len(calls), seconds)),
    )
    for clip, found in zip(clips, codes, strict=True):
        assert found.tolist() == clip[::1280].tolist()
    assert len(calls) > 1 and [number for number, _ in told] == list(range(1, len(calls) + 1))
    assert sum(seconds for _, seconds in told) == pytest.approx(70 + 3 + 31)
