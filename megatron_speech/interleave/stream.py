"""Interleaved documents from texts: cut, have the spans spoken, compose, in bounded memory.

    documents --(windows, longest span first)--> spans --> stream of speech codes --> journal --> compose --> documents

The stream takes spans as it has room for them and gives codes as they are done, in any order; a document is composed
when its last span is there and all before it are. Span places and speech are functions of (seed, document id,
rendering), not of windows. A rendering is one pass of fresh spans over a document: diversity rather than repetition is
what synthetic data offers. What the journal of an earlier run holds is not spoken again. Price: the documents of the
windows that the stream has looked into are in memory, and one without any span (its target was below a word) stays text
alone.
"""

from __future__ import annotations

import itertools
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from megatron_speech.data.shards.document import TokenDocument
from megatron_speech.grouping import grouped_by_size
from megatron_speech.interleave.compose import Composed, Piece
from megatron_speech.interleave.journal import Journal

WINDOW_DOCUMENTS = 256
"""Renderings whose spans are sorted by length together, at most..."""
WINDOW_CHARACTERS = 1 << 22
"""...and their characters together, but for one longer text."""

COMPOSED_TOGETHER = 64
"""Documents tokenised in one call."""

Codes = dict[int, np.ndarray | None]
"""Of each spoken piece of a document, int [T]; None where synthesis failed."""
Stream = Callable[[Iterable[tuple[str, str]]], Iterable[tuple[int, np.ndarray | None]]]
"""Of (key, reading), read as there is room: position and codes int [T] of each, or None, as they come."""


@dataclass(frozen=True)
class Rendering:
    """One pass over a document: its text, and a key that seeds its spans and its speech."""

    key: str
    text: str
    meta: dict[str, Any]


@dataclass(frozen=True)
class Interleaved:
    """A finished document, and what it was made of."""

    document: TokenDocument
    pieces: list[Piece]
    codes: Codes
    composed: Composed
    units: Counter[str]
    """Its units by whether they may be spoken: "speakable", or the reason why not."""


class Waiting:
    """A document some of whose spans may not have been spoken yet."""

    def __init__(self, rendering: Rendering, pieces: list[Piece], units: Counter[str]) -> None:
        self.rendering, self.pieces, self.units = rendering, pieces, units
        self.codes: Codes = {}
        self.missing = sum(piece.spoken for piece in pieces)

    def put(self, index: int, codes: np.ndarray | None) -> None:
        """Say what became of piece `index`."""
        self.codes[index] = codes
        self.missing -= 1

    def span_key(self, index: int) -> str:
        """What a span's randomness is a function of, beside the seed: document, rendering, first unit."""
        return f"{self.rendering.key}:{self.pieces[index].words[0]}"


def interleave(
    renderings: Iterable[Rendering],
    *,
    cut: Callable[[Rendering], tuple[list[Piece], Counter[str]]],
    compose: Callable[[list[tuple[list[Piece], Codes]]], list[Composed]],
    stream: Stream,
    journal: Journal,
    work: Callable[[], Mapping[str, int]] = dict,
    window: int = WINDOW_DOCUMENTS,
) -> Iterator[Interleaved]:
    """Documents in the order of `renderings`; their meta tell every span's words, characters, tokens, class and key.

    Args:
        cut: pieces of a text, those to be spoken marked, and its units by whether they may be.
        compose: tokens of each document's pieces and the codes of the spoken ones.
        work: what the stream counted since it was last asked, kept with the spans.
    """
    waiting: deque[Waiting] = deque()
    ready: list[Waiting] = []
    asked: dict[int, tuple[Waiting, int, str, str]] = {}

    def spans() -> Iterator[tuple[str, str]]:
        numbers = itertools.count()
        windows = grouped_by_size(
            renderings, size=lambda rendering: len(rendering.text), max_size=WINDOW_CHARACTERS, max_items=window
        )
        for batch in windows:
            opened = [Waiting(rendering, *cut(rendering)) for rendering in batch]
            waiting.extend(opened)
            for each, index in _longest_first(opened):
                key, reading = each.span_key(index), each.pieces[index].reading
                if found := journal.take(key, reading):
                    each.put(index, found.codes)
                    continue
                asked[next(numbers)] = each, index, key, reading
                yield key, reading

    for number, codes in stream(spans()):
        each, index, key, reading = asked.pop(number)
        journal.append(key, reading, codes, work())
        each.put(index, codes)
        while waiting and not waiting[0].missing:
            ready.append(waiting.popleft())
        if len(ready) >= COMPOSED_TOGETHER:
            yield from _composed(ready, compose)
            ready.clear()
    assert not asked, f"the stream gave nothing for {len(asked)} spans"
    ready.extend(waiting)
    for start in range(0, len(ready), COMPOSED_TOGETHER):
        yield from _composed(ready[start : start + COMPOSED_TOGETHER], compose)


def _longest_first(opened: Sequence[Waiting]) -> list[tuple[Waiting, int]]:
    """Documents and places of their spans, the longest text first, so that a batch of the stream has few gaps."""
    places = [(each, index) for each in opened for index, piece in enumerate(each.pieces) if piece.spoken]
    return sorted(places, key=lambda place: -len(place[0].pieces[place[1]].text))


def _composed(
    ready: Sequence[Waiting], compose: Callable[[list[tuple[list[Piece], Codes]]], list[Composed]]
) -> Iterator[Interleaved]:
    for each, composed in zip(ready, compose([(each.pieces, each.codes) for each in ready]), strict=True):
        spoken = [index for index in range(len(each.pieces)) if each.codes.get(index) is not None]
        spans = [
            {**span, "class": each.pieces[index].text_class, "key": each.span_key(index)}
            for index, span in zip(spoken, composed.spans, strict=True)
        ]
        meta = {**each.rendering.meta, "spans": spans, "failed": len(each.codes) - len(spoken)}
        document = TokenDocument(key=each.rendering.key, tokens=composed.tokens, meta=meta)
        yield Interleaved(document, each.pieces, each.codes, composed, each.units)
