"""What interleaving did, counted while it happens: achieved ratio, span lengths, failures, growth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from megatron_speech.config.interleave import SpansConfig
from megatron_speech.interleave.compose import Composed, Piece
from megatron_speech.interleave.spans import length_probabilities


class Tally:
    """Integer counts over all documents, and the facts that follow from them.

    The histogram of span lengths leaves out documents whose target is below the mean length: their only span is
    cut to the target (see `spans`), and a corpus of single sentences would hide the drawn distribution.
    """

    def __init__(self, spans: SpansConfig) -> None:
        self.spans = spans
        self.counts: Counter[str] = Counter()
        self.span_lengths: Counter[int] = Counter()

    def admit(self, speakable: bool) -> bool:
        """Pass `speakable` on, counting the documents that must not become speech."""
        self.counts["documents_not_speakable"] += not speakable
        return speakable

    def count(self, pieces: Sequence[Piece], codes: Mapping[int, np.ndarray | None], composed: Composed) -> None:
        """Add one document."""
        lengths = {index: piece.words[1] - piece.words[0] for index, piece in enumerate(pieces)}
        spoken = {index: lengths[index] for index, sequence in codes.items() if sequence is not None}
        is_short = self.spans.ratio * sum(lengths.values()) < self.spans.mean_length
        if not is_short:
            self.span_lengths.update(lengths[index] for index in codes)
        self.counts.update(
            words=sum(lengths.values()),
            words_drawn=sum(lengths[index] for index in codes),
            words_spoken=sum(spoken.values()),
            spans=len(codes),
            spans_in_short_documents=len(codes) if is_short else 0,
            spans_failed=len(codes) - len(spoken),
            documents_without_speech=not spoken,
            replaced_text_ids=composed.replaced_text_ids,
            span_speech_tokens=sum(len(sequence) for sequence in codes.values() if sequence is not None),
        )

    def facts(self) -> dict[str, Any]:
        """Counts, ratios, and the histogram of span lengths beside the distribution they were drawn from."""
        counts = self.counts
        largest = max(self.span_lengths, default=0)
        return {
            **{name: counts[name] for name in sorted(counts)},
            "ratio_drawn": _ratio(counts["words_drawn"], counts["words"]),
            "ratio_spoken": _ratio(counts["words_spoken"], counts["words"]),
            "speech_tokens_per_replaced_word": _ratio(counts["span_speech_tokens"], counts["words_spoken"]),
            "speech_tokens_per_replaced_text_id": _ratio(counts["span_speech_tokens"], counts["replaced_text_ids"]),
            "span_lengths": {
                "words": list(range(1, largest + 1)),
                "spans": [self.span_lengths[length] for length in range(1, largest + 1)],
                "poisson": length_probabilities(self.spans.mean_length, largest).round(6).tolist(),
            },
        }


def _ratio(part: int, whole: int) -> float | None:
    return round(part / whole, 6) if whole else None
