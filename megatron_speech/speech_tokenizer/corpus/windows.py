"""Cuts clips of any length into windows of the encoder's size; each code of the clip is kept from one window.

    tokens   0 ........................ 375 .................... 750
    restart  [encoded, kept            ][encoded, kept         ][...
    overlap  [encoded, kept       |....]
                            [.....| kept          |....]          ... context: encoded, its tokens dropped

Cuts lie between tokens. Without overlap each window is encoded like a clip of its own, as the released tokenizer and
streams do every 30 s. With overlap a token near a cut has context on both sides. Cost: windows advance by 30 s minus
two overlaps, so speech longer than 30 s takes 30 / (30 - 2 overlap) times as long.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from megatron_speech.audio.io import SAMPLE_RATE
from megatron_speech.config.stages.tokenize_speech import TokenizeSpeechConfig
from megatron_speech.grouping import batches_by_length
from megatron_speech.speech_tokenizer.interface import SpeechTokenizer, SpeechTokenizerFacts


@dataclass(frozen=True, kw_only=True)
class Window:
    """A part of a clip that is encoded at once, and the tokens of it that are kept."""

    begin: int
    """Index of the first sample."""
    end: int
    """Index after the last sample."""
    skip: int
    """Number of context tokens before the kept ones."""
    keep: int
    """Number of kept tokens; later tokens are context."""


def cut_windows(num_samples: int, *, samples_per_token: int, max_tokens: int, overlap_tokens: int) -> list[Window]:
    """Cut a clip into windows of at most `max_tokens` tokens; their kept tokens are the whole clip's, in order.

    A clip of up to `max_tokens` is one window. Raises ValueError if two overlaps fill a window.
    """
    assert num_samples > 0 and overlap_tokens >= 0, f"{num_samples=}, {overlap_tokens=}"
    if 2 * overlap_tokens >= max_tokens:
        raise ValueError(
            f"an overlap of {overlap_tokens} tokens on both sides leaves nothing of a window of {max_tokens}; "
            "lower overlap_seconds"
        )
    total = -(-num_samples // samples_per_token)
    windows: list[Window] = []
    kept = 0
    while kept < total:
        # Context before the kept tokens, and after them unless the clip ends.
        first = max(0, kept - overlap_tokens)
        last = min(total, first + max_tokens)
        until = total if last == total else last - overlap_tokens
        window = Window(
            begin=first * samples_per_token,
            end=min(last * samples_per_token, num_samples),
            skip=kept - first,
            keep=until - kept,
        )
        windows.append(window)
        kept = until
    return windows


def windows_of(facts: SpeechTokenizerFacts, num_samples: int, *, overlap_seconds: float) -> list[Window]:
    """Windows of a clip for a speech tokenizer; the overlap is rounded up to whole codes. Raises as `cut_windows`."""
    return cut_windows(
        num_samples,
        samples_per_token=facts.samples_per_code,
        max_tokens=facts.max_codes,
        overlap_tokens=math.ceil(overlap_seconds * facts.frame_rate),
    )


def encode_cut(
    tokenizer: SpeechTokenizer,
    waveforms: Sequence[np.ndarray],
    cuts: Sequence[Sequence[Window]],
    *,
    names: Sequence[str],
    batch_seconds: float,
    advance: Callable[[float], None] = lambda seconds: None,
) -> Iterator[np.ndarray]:
    """Yield the codes int32 [T] of each clip, joined from its windows in `cuts`; encodes all windows in batches.

    `names` are those of the clips, for errors. `advance` is told the seconds of speech of every finished batch; context
    that windows share counts once, so that they add up to the clips.
    """
    clips = list(zip(waveforms, cuts, names, strict=True))
    pieces = [waveform[window.begin : window.end] for waveform, windows, _ in clips for window in windows]
    labels = [name for _, windows, name in clips for _ in windows]
    seconds = [share for waveform, windows, _ in clips for share in _shares(len(waveform) / SAMPLE_RATE, windows)]
    encoded: list[np.ndarray] = [np.empty(0, np.int32)] * len(pieces)
    # The batches of the tokenizer, one at a time.
    for batch in batches_by_length([len(piece) for piece in pieces], max_total=int(batch_seconds * SAMPLE_RATE)):
        some = [pieces[index] for index in batch]
        found = tokenizer.encode(some, batch_seconds=batch_seconds, names=[labels[index] for index in batch])
        for index, piece_codes in zip(batch, found, strict=True):
            encoded[index] = piece_codes
        advance(sum(seconds[index] for index in batch))
    codes = iter(encoded)
    for windows in cuts:
        kept = [next(codes)[window.skip : window.skip + window.keep] for window in windows]
        yield kept[0] if len(kept) == 1 else np.concatenate(kept)


def encode_recording(tokenizer: SpeechTokenizer, waveform: np.ndarray, *, name: str) -> np.ndarray:
    """Codes int32 [T] of a waveform [samples] at the tokenizer's rate; long ones are cut as `tokenize_speech` does."""
    overlap_s = 0.0 if tokenizer.facts.causal else TokenizeSpeechConfig.overlap_seconds
    cut = windows_of(tokenizer.facts, len(waveform), overlap_seconds=overlap_s)
    (codes,) = encode_cut(tokenizer, [waveform], [cut], names=[name], batch_seconds=TokenizeSpeechConfig.batch_seconds)
    return codes


def _shares(seconds: float, windows: Sequence[Window]) -> list[float]:
    """The seconds of a clip that each of its windows stands for."""
    whole = sum(window.keep for window in windows)
    return [seconds * window.keep / whole for window in windows]
