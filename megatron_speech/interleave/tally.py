"""Counts words, spans and tokens while documents are interleaved, and derives ratios from them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from megatron_speech.artifacts.facts.interleaved import SpanLengthsFacts, TallyFacts
from megatron_speech.config.stages.build_interleaved import SpansConfig
from megatron_speech.interleave.compose import Composed, Piece
from megatron_speech.interleave.spans import length_probabilities


class Tally:
    """Integer counts over all documents, and the facts derived from them.

    The histogram of span lengths leaves out short documents, which have one span of the target's length (see `spans`).
    It also leaves out documents with text that cannot be spoken, because spans are cut there. It is a little wider than
    the Poisson distribution, since ends move to clause boundaries and out of blocks that are read as one.
    """

    def __init__(self, spans: SpansConfig) -> None:
        self.spans = spans
        self.counts: Counter[str] = Counter()
        self.span_lengths: Counter[int] = Counter()
        self.left_out: Counter[str] = Counter()
        """Words that cannot be spoken, by reason."""
        self.spans_by_class: Counter[str] = Counter()
        """Spans that became speech, by class of text."""

    def count(
        self,
        pieces: Sequence[Piece],
        codes: Mapping[int, np.ndarray | None],
        composed: Composed,
        units: Mapping[str, int],
    ) -> None:
        """Add one document; `units` counts its units as "speakable" or by the reason why not."""
        # Lengths of spans in words, and whether the document keeps them as drawn.
        left_out = {reason: count for reason, count in units.items() if reason != "speakable"}
        lengths = {index: piece.words[1] - piece.words[0] for index, piece in enumerate(pieces)}
        spoken = {index: lengths[index] for index, sequence in codes.items() if sequence is not None}
        words = sum(lengths.values()) - sum(left_out.values())
        target, longest = self.spans.ratio * words, self.spans.mean_length + 3 * math.sqrt(self.spans.mean_length)
        is_as_drawn = target >= longest and not left_out
        if is_as_drawn:
            self.span_lengths.update(lengths[index] for index in codes)
        # Totals.
        self.left_out.update(left_out)
        self.spans_by_class.update(pieces[index].text_class for index in spoken)
        self.counts.update(
            words=words,
            words_not_speakable=sum(left_out.values()),
            words_drawn=sum(lengths[index] for index in codes),
            words_spoken=sum(spoken.values()),
            spans=len(codes),
            spans_cut_or_short=0 if is_as_drawn else len(codes),
            spans_failed=len(codes) - len(spoken),
            documents_without_speech=not spoken,
            replaced_text_ids=composed.replaced_text_ids,
            span_speech_tokens=sum(len(sequence) for sequence in codes.values() if sequence is not None),
        )

    def state(self) -> TallyFacts:
        """All counts, as `add` takes them."""
        kinds = ("counts", "span_lengths", "left_out", "spans_by_class")
        return TallyFacts(
            **{kind: {str(key): count for key, count in sorted(getattr(self, kind).items())} for kind in kinds}
        )

    def add(self, state: TallyFacts) -> None:
        """Add the counts of another tally."""
        self.counts.update(state.counts)
        self.left_out.update(state.left_out)
        self.spans_by_class.update(state.spans_by_class)
        self.span_lengths.update({int(length): count for length, count in state.span_lengths.items()})

    def facts(self) -> dict[str, Any]:
        """Counts, ratios to the words that can be spoken, and the histogram of span lengths with its distribution."""
        counts = self.counts
        largest = max(self.span_lengths, default=0)
        return {
            **{name: counts[name] for name in sorted(counts)},
            "ratio_drawn": _ratio(counts["words_drawn"], counts["words"]),
            "ratio_spoken": _ratio(counts["words_spoken"], counts["words"]),
            "speech_tokens_per_replaced_word": _ratio(counts["span_speech_tokens"], counts["words_spoken"]),
            "speech_tokens_per_replaced_text_id": _ratio(counts["span_speech_tokens"], counts["replaced_text_ids"]),
            "words_left_out": dict(self.left_out.most_common()),
            "spans_by_class": dict(self.spans_by_class.most_common()),
            "span_lengths": SpanLengthsFacts(
                words=tuple(range(1, largest + 1)),
                spans=tuple(self.span_lengths[length] for length in range(1, largest + 1)),
                poisson=tuple(length_probabilities(self.spans.mean_length, largest).round(6).tolist()),
                mean=self.spans.mean_length,
            ),
        }


def _ratio(part: int, whole: int) -> float | None:
    return round(part / whole, 6) if whole else None
