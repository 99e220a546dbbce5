"""Index of the words of evaluation items, which finds items in a text in one pass.

Every run of `together` neighbouring words of an item is stored under its first `fewest` words. So a word of a text
costs one look-up. An item is found in a text as far as such runs of it stand there in the same order, close together.
Memory depends on the items alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from megatron_speech.evaluation.contamination.words import words_with_places

SHIFT = 16
"""Words by which the parts of an item may be shifted against each other in a text."""


@dataclass(frozen=True, kw_only=True)
class Match:
    """Where an item stands in a text."""

    item: int
    """Place of the item in the index."""
    share: float
    """Share of the item's words that stand there."""
    start: int
    """First character of it in the text."""
    end: int
    """Character after the beginning of its last word."""


class ItemIndex:
    """Runs of words of all items."""

    def __init__(self, items: Sequence[Sequence[str]], *, together: int, fewest: int) -> None:
        """Index the words of `items`; those with less than `fewest` words are never found."""
        self._lengths = [len(words) for words in items]
        self._fewest = fewest
        self._runs: defaultdict[str, list[tuple[int, int, list[str]]]] = defaultdict(list)
        for item, words in enumerate(items):
            length = min(together, len(words))
            for start in range(len(words) - length + 1 if length >= fewest else 0):
                first, rest = words[start : start + fewest], list(words[start + fewest : start + length])
                self._runs[" ".join(first)].append((item, start, rest))

    def matches(self, text: str) -> list[Match]:
        """The best match of every item of which a run stands in `text`, by item."""
        return self.matches_of(*words_with_places(text))

    def matches_of(self, words: Sequence[str], places: Sequence[int]) -> list[Match]:
        """Like `matches`, for the words of a text and their places in it."""
        covered: defaultdict[tuple[int, int], set[int]] = defaultdict(set)
        for place, item, start, length in self._found(words):
            covered[item, (place - start) // SHIFT].update(range(place, place + length))
        best: dict[int, Match] = {}
        for (item, _), found in covered.items():
            share = min(1.0, len(found) / self._lengths[item])
            if item not in best or share > best[item].share:
                best[item] = Match(item=item, share=share, start=places[min(found)], end=places[max(found)] + 1)
        return [best[item] for item in sorted(best)]

    def _found(self, words: Sequence[str]) -> Iterator[tuple[int, int, int, int]]:
        """Place in `words`, item, place in the item, and length of every run that stands in `words`."""
        fewest, runs = self._fewest, self._runs
        for at in range(len(words) - fewest + 1):
            for item, start, rest in runs.get(" ".join(words[at : at + fewest]), ()):
                after = at + fewest
                if words[after : after + len(rest)] == rest:
                    yield at, item, start, fewest + len(rest)
