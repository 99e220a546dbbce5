"""What is counted of the spans, where they are as they were drawn and where they are not."""

from itertools import pairwise

import numpy as np
import pytest

from megatron_speech.config.stages.build_interleaved import SpansConfig
from megatron_speech.interleave.compose import Composed, Piece
from megatron_speech.interleave.spans import sample_spans
from megatron_speech.interleave.tally import Tally


def tally_of(words: int, *, documents: int = 3000, **left_out: int) -> Tally:
    """Documents of so many words, all of them speakable, each with spans of its own."""
    tally = Tally(SpansConfig())
    for number in range(documents):
        bounds = [0, *np.ravel(sample_spans(words, seed=0, document_id=str(number))).tolist(), words + len(left_out)]
        pieces = [
            Piece("x", (start, end), (start, end), place % 2 == 1, "prose")
            for place, (start, end) in enumerate(pairwise(bounds))
        ]
        codes = {place: np.zeros(3, np.int32) for place, piece in enumerate(pieces) if piece.spoken}
        tally.count(pieces, codes, Composed(np.zeros(1, np.int32), [], 1), {"speakable": words} | left_out)
    return tally


@pytest.mark.parametrize("words", [66, 80, 200])
def test_lengths_that_are_shown_are_as_they_were_drawn(words):
    facts = tally_of(words).facts()
    drawn = np.array(facts["span_lengths"].spans, float)
    assert drawn.sum() == facts["spans"] > 3000
    distance = 0.5 * np.abs(drawn / drawn.sum() - facts["span_lengths"].poisson).sum()
    assert distance < 0.04, "documents of 34 words, where a span is cut, are at 0.3"


@pytest.mark.parametrize(("words", "left_out"), [(34, {}), (60, {}), (200, {"table": 1})])
def test_spans_that_may_have_been_cut_are_not_shown(words, left_out):
    facts = tally_of(words, documents=50, **left_out).facts()
    assert facts["spans_cut_or_short"] == facts["spans"] > 0
    assert facts["span_lengths"].spans == ()
