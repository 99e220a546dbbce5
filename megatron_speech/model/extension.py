"""New rows of an embedding: drawn from the mean and covariance of the old text rows."""

from __future__ import annotations

from torch import Tensor

from megatron_speech.vocabulary import Vocabulary


def extend_embedding(text_rows: Tensor, *, vocabulary: Vocabulary, seed: int) -> Tensor:
    """Grow an embedding [num_text_ids, D] to [padded_size, D]: old rows bit-equal, new rows drawn, padding zero.

    Deterministic in (rows, vocabulary, seed): no layout, no global generator.
    """
    raise NotImplementedError
