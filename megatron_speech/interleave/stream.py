"""Builds interleaved documents from a stream of texts: cuts them, synthesises the spans, composes the sequences.

    documents --(windows, longest span first)--> spans --> stream of speech codes --> journal --> compose --> documents

The stream reads spans as it gets free and yields codes as they finish, in any order. A document is composed when its
spans and those of all documents before it are finished. Span places and speech are functions of (seed, document id,
rendering). A rendering is one interleaved version of a document, with spans of its own. Spans in the journal of an
earlier run are not synthesised again. Limitations: memory holds the documents of all unfinished windows. A document too
short for one span stays plain text.
"""

from __future__ import annotations

import itertools
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from megatron_speech.artifacts.facts.interleaved import SpokenSpan
from megatron_speech.data.shards.document import TokenDocument
from megatron_speech.grouping import grouped_by_size
from megatron_speech.interleave.compose import Composed, Piece
from megatron_speech.interleave.journal import Journal

WINDOW_DOCUMENTS = 256
"""Maximum number of renderings in a window, within which spans are sorted by length."""
WINDOW_CHARACTERS = 1 << 22
"""Maximum number of characters in a window; a longer text is a window alone."""

COMPOSED_TOGETHER = 64
"""Number of documents tokenised in one call."""

Codes = dict[int, np.ndarray | None]
"""Codes int [T] of a document's spoken pieces, by the number of the piece; None if synthesis failed."""
Stream = Callable[[Iterable[tuple[str, str]]], Iterable[tuple[int, np.ndarray | None]]]
"""Function from (key, reading) items to (place of the item, codes int [T] or None), as they finish."""


@dataclass(frozen=True)
class Rendering:
    """One interleaved version of a text, before it is made; `key` seeds its spans and speech."""

    key: str
    text: str
    meta: dict[str, Any]


@dataclass(frozen=True)
class Interleaved:
    """A finished document, with its parts."""

    document: TokenDocument
    pieces: list[Piece]
    codes: Codes
    composed: Composed
    units: Counter[str]
    """Number of units that are "speakable", or are not, by reason."""


class Waiting:
    """A document with spans that may not be synthesised yet."""

    def __init__(self, rendering: Rendering, pieces: list[Piece], units: Counter[str]) -> None:
        self.rendering, self.pieces, self.units = rendering, pieces, units
        self.codes: Codes = {}
        self.missing = sum(piece.spoken for piece in pieces)

    def put(self, index: int, codes: np.ndarray | None) -> None:
        """Set the codes of piece `index`; None if synthesis failed."""
        self.codes[index] = codes
        self.missing -= 1

    def span_key(self, index: int) -> str:
        """Key of the span `index`, which seeds its speech: document, rendering and first unit."""
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
    """Yield interleaved documents in the order of `renderings`; their metadata lists the spans.

    `cut` gives the pieces of a text and counts its units; `compose` lays out pieces and codes as tokens. `work` returns
    the counts of `stream` since the last call, for the journal. A window has at most `window` renderings.
    """
    waiting: deque[Waiting] = deque()
    ready: list[Waiting] = []
    asked: dict[int, tuple[Waiting, int, str, str]] = {}

    def spans() -> Iterator[tuple[str, str]]:
        """Cut windows of texts, and yield the spans that the journal does not have."""
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

    # Store codes as they finish, and compose documents in order.
    for number, codes in stream(spans()):
        each, index, key, reading = asked.pop(number)
        journal.append(key, reading, codes, work())
        each.put(index, codes)
        while waiting and not waiting[0].missing:
            ready.append(waiting.popleft())
        if len(ready) >= COMPOSED_TOGETHER:
            yield from _composed(ready, compose)
            ready.clear()
    assert not asked, f"the stream yielded no result for {len(asked)} spans"
    ready.extend(waiting)
    for start in range(0, len(ready), COMPOSED_TOGETHER):
        yield from _composed(ready[start : start + COMPOSED_TOGETHER], compose)


def _longest_first(opened: Sequence[Waiting]) -> list[tuple[Waiting, int]]:
    """All spans of `opened` as (document, piece number), longest text first, so that a batch has similar lengths."""
    places = [(each, index) for each in opened for index, piece in enumerate(each.pieces) if piece.spoken]
    return sorted(places, key=lambda place: -len(place[0].pieces[place[1]].text))


def _composed(
    ready: Sequence[Waiting], compose: Callable[[list[tuple[list[Piece], Codes]]], list[Composed]]
) -> Iterator[Interleaved]:
    for each, composed in zip(ready, compose([(each.pieces, each.codes) for each in ready]), strict=True):
        spoken = [index for index in range(len(each.pieces)) if each.codes.get(index) is not None]
        spans = [
            SpokenSpan(**vars(span), text_class=each.pieces[index].text_class, key=each.span_key(index)).to_json()
            for index, span in zip(spoken, composed.spans, strict=True)
        ]
        meta = {**each.rendering.meta, "spans": spans, "failed": len(each.codes) - len(spoken)}
        document = TokenDocument(key=each.rendering.key, tokens=composed.tokens, meta=meta)
        yield Interleaved(document, each.pieces, each.codes, composed, each.units)
