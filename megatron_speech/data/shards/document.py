"""Two records of the data pipeline: a document of tokens, and a row of packed documents."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class TokenDocument:
    """One corpus record as token ids; offline stages exchange these in document shards."""

    key: str
    """Name, unique within its folder; also seeds all randomness about the document."""
    tokens: NDArray[np.int32]
    """Ids of the folder's vocabulary, [T] with T >= 1, without the end-of-document id (packing appends it)."""
    target_start: int = 0
    """Index of the first target token. Earlier tokens are context, without loss if the source trains on targets
    only."""
    meta: dict[str, Any] = field(default_factory=dict)
    """Provenance and other metadata, plain JSON types."""


@dataclass(kw_only=True, slots=True)
class Row:
    """One training sequence of S positions: inputs ``tokens[:-1]``, labels ``tokens[1:]``.

    Not frozen: that would make reading a row a tenth slower.
    """

    tokens: NDArray[np.int32]
    """[S+1]."""
    cu_seqlens: NDArray[np.int32]
    """Start of each document among the S inputs, then S; the first is 0, strictly increasing."""
    context: NDArray[np.int32]
    """[n, 2] spans [start, end) of `tokens` that are not targets."""
    source: int
    """Index of the source in the plan."""
