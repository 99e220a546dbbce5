"""Settings of the comparison of evaluations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from megatron_speech.config.parsing.bounds import MAX_SEED, require_bounds
from megatron_speech.config.parsing.inputs import ContaminationFolder, EvaluationFolder

PROTOCOL_KEYS = (
    *("chance", "template", "score", "prompt", "decoding", "matcher", "normalizer", "recognizer", "sound"),
    *("dtype", "data", "code", "judge"),
)
"""Entries of a protocol."""


@dataclass(frozen=True, kw_only=True)
class CompareEvaluationsConfig:
    """Compare models that were evaluated by one protocol on the same items."""

    evaluations: list[EvaluationFolder]
    """Folders that `evaluate` made; the first is compared with each of the others."""
    accept: list[str] = field(default_factory=list)
    """Entries of the protocol that may differ, such as code."""
    leaks: ContaminationFolder | None = None
    """Output of check_contamination; the scores without the items that it found are compared as well."""
    bottom_line: EvaluationFolder | None = None
    """Evaluation of a model that others should beat, such as the text model before it learnt speech."""
    cascade: EvaluationFolder | None = None
    """Evaluation of a language model on what Whisper heard: a topline of the pairs with speech."""
    published: dict[str, str] = field(default_factory=dict)
    """Published scores to show, by task: what its set is called in papers, such as StoryCloze."""
    json: bool = False
    """Print JSON instead of tables."""
    figure: Path | None = None
    """PNG file for the differences with their intervals, as a forest plot."""
    resamples: int = 10_000
    """Bootstrap resamples for every 95 % interval."""
    seed: int = 0
    """Seed of the bootstrap."""

    def __post_init__(self) -> None:
        if len(self.evaluations) < 2:
            raise ValueError(f"evaluations: {len(self.evaluations)} given, at least two are compared; name another")
        require_bounds("seed", self.seed, 0, MAX_SEED, "0 is the default")
        if self.resamples < 100:
            raise ValueError(f"resamples={self.resamples} must be at least 100 for a 95 % interval; 10000 is usual")
        require_entries(self.accept)


def require_entries(accept: Sequence[str]) -> None:
    """Raise ValueError for a name that is no entry of a protocol."""
    if unknown := [key for key in accept if key not in PROTOCOL_KEYS]:
        raise ValueError(f"accept={unknown[0]} is no entry of a protocol; they are {', '.join(PROTOCOL_KEYS)}")
