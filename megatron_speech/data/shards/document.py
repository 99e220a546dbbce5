"""The two records of the data plane: a document of tokens, and a row of packed documents."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class TokenDocument:
    """One corpus record as token ids; what stages hand to each other in document shards."""

    key: str
    """Name, unique within its folder; seeds everything random about the document."""
    tokens: NDArray[np.int32]
    """Ids of the folder's vocabulary, [T] with T >= 1, without the end-of-document id (packing appends it)."""
    target_start: int = 0
    """Tokens before it are context: where a source trains on targets alone, they carry no loss."""
    meta: dict[str, Any] = field(default_factory=dict)
    """Provenance, plain JSON types."""


@dataclass(kw_only=True, slots=True)
class Row:
    """One training sequence of S positions: input ``tokens[:-1]``, labels ``tokens[1:]``.

    Not frozen, which would cost a tenth of reading one.
    """

    tokens: NDArray[np.int32]
    """[S+1]."""
    cu_seqlens: NDArray[np.int32]
    """Where each document starts among the S inputs, then S: first 0, strictly increasing."""
    context: NDArray[np.int32]
    """[n, 2] spans [start, end) of `tokens` which are no training targets."""
    source: int
    """Index of the source in the plan."""
