"""Cut speech of any length into windows that the encoder takes, so that every token is made exactly once.

    tokens   0 ........................ 375 .................... 750
    restart  [encoded, kept            ][encoded, kept         ][...
    overlap  [encoded, kept       |....]
                            [.....| kept          |....]          ... context: encoded, its tokens dropped

Cuts lie between tokens. Without overlap each window is encoded as if it were a clip, which is what the released
tokenizer and every stream do at every 30 s; with it, a token near a cut hears its neighbours. Price: windows advance by
30 s less two overlaps, so speech longer than 30 s costs 30 / (30 - 2 overlap) times as much.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Window:
    """A stretch of a clip that is encoded in one go, and which of its tokens count."""

    begin: int
    """First sample."""
    end: int
    """Behind the last sample."""
    skip: int
    """Tokens of context at the front."""
    keep: int
    """Tokens after these that are the clip's; what follows is context."""


def cut_windows(num_samples: int, *, samples_per_token: int, max_tokens: int, overlap_tokens: int) -> list[Window]:
    """Windows of at most `max_tokens` tokens whose kept tokens are those of the whole clip, in order, each once.

    A clip of up to `max_tokens` is one window. ValueError where `overlap_tokens` on both sides leave nothing to keep.
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
