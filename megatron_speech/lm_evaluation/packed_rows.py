"""Rows laid end to end, as megatron-core's packed format takes them: no padding, and no row sees another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate


@dataclass(frozen=True, kw_only=True)
class PackedRows:
    """Ids of all rows, and the places at which the model predicts what is asked."""

    tokens: list[int]
    ends: list[int]
    """End of each row."""
    predictors: list[int]
    """Places of `tokens` whose logits are asked."""
    targets: list[int]
    """Ids that the predictors predict; empty if the logits themselves are asked."""

    @classmethod
    def of(cls, requests: Sequence[tuple[Sequence[int], Sequence[int]]]) -> PackedRows:
        """Rows of (context, continuation) whose continuations are scored; the last id of each is only predicted."""
        rows = [[*context, *continuation][:-1] for context, continuation in requests]
        sizes = [len(continuation) for _, continuation in requests]
        ends = list(accumulate(map(len, rows)))
        return cls(
            tokens=[token for row in rows for token in row],
            ends=ends,
            predictors=[place for end, size in zip(ends, sizes, strict=True) for place in range(end - size, end)],
            targets=[token for _, continuation in requests for token in continuation],
        )

    @classmethod
    def next_of(cls, rows: Sequence[Sequence[int]]) -> PackedRows:
        """Rows whose next id is asked."""
        ends = list(accumulate(map(len, rows)))
        tokens = [token for row in rows for token in row]
        return cls(tokens=tokens, ends=ends, predictors=[end - 1 for end in ends], targets=[])

    @property
    def longest(self) -> int:
        """Length of the longest row."""
        return max(end - start for start, end in zip([0, *self.ends], self.ends, strict=False))
