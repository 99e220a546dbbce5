"""Records in the folder of a training run: ``metrics.jsonl``, ``validation.jsonl`` and ``done.json``."""

from __future__ import annotations

from dataclasses import dataclass

from megatron_speech.artifacts.facts.record import Record


@dataclass(frozen=True, kw_only=True)
class ReadingRecord(Record):
    """Statistics on reading data, over all ranks."""

    rows: dict[str, int] | None = None
    """Packed rows read since the run began, by source."""
    reading: dict[str, float] | None = None
    """Since the last record: seconds of waiting, times of reads, cache, retries; since the run began: damage."""


@dataclass(frozen=True, kw_only=True)
class MetricsRecord(Record):
    """One training step; losses are in nats per target."""

    step: int
    """Number of the step, from 1."""
    consumed_samples: int
    """Packed rows read since the run began."""
    tokens: dict[str, int]
    """Targets that bore loss since the run began, by modality."""
    loss: float
    """Training loss: the weighted mean over all targets."""
    losses: dict[str, dict[str, float]]
    """Mean losses by source and modality."""
    loss_by_task: dict[str, dict[str, float]]
    """Mean losses by task and modality."""
    loss_by_modality: dict[str, float]
    """Mean losses by modality."""
    lr: float
    """Learning rate of the step."""
    grad_norm: float
    """Norm of the gradients before clipping."""
    tokens_per_s: float
    """Tokens per second since the last record, all ranks together."""
    rows: dict[str, int] | None = None
    """As in `ReadingRecord`."""
    reading: dict[str, float] | None = None
    """As in `ReadingRecord`."""


@dataclass(frozen=True, kw_only=True)
class HeldOutLosses(Record):
    """Losses on held-out rows: the part of `ValidationRecord` that is shown."""

    step: int
    """Training step that they were scored at."""
    losses: dict[str, dict[str, float]]
    """Mean losses by source and modality, in nats per target."""


@dataclass(frozen=True, kw_only=True)
class ValidationRecord(HeldOutLosses):
    """One pass over the held-out rows."""

    targets: dict[str, dict[str, int]]
    """Targets scored, by source and modality."""
    rows: dict[str, int]
    """Packed rows scored, by source."""


@dataclass(frozen=True, kw_only=True)
class SourceTokens(Record):
    """Tokens of one source: rows times their length."""

    planned: int
    """By the plan."""
    read: int | None
    """Counted when rows were given to the model; null if that record is lost."""


@dataclass(frozen=True, kw_only=True)
class RunSummary(Record):
    """A finished run; values of lost lines of ``metrics.jsonl`` are null."""

    steps: int
    """Training steps."""
    consumed_samples: int
    """Packed rows read."""
    tokens: dict[str, int]
    """Targets that bore loss, by modality."""
    loss: float | None
    """Loss of the last step."""
    losses: dict[str, dict[str, float]] | None
    """Losses of the last step, by source and modality."""
    validation: dict[str, dict[str, float]]
    """Held-out losses by source and modality."""
    validation_targets: dict[str, dict[str, int]]
    """Targets that they are means over."""
    validation_rows: dict[str, int]
    """Packed rows scored, by source."""
    tokens_per_s: float | None
    """Median over the records of ``metrics.jsonl``."""
    plan: str
    """Fingerprint of the plan."""
    damage: dict[str, int | None]
    """Damaged samples and blocks that were masked."""
    tokens_by_source: dict[str, SourceTokens]
    """Tokens planned and read, by source."""


@dataclass(frozen=True, kw_only=True)
class FinishedRun(Record):
    """The part of `RunSummary` by which runs are compared."""

    steps: int
    """Training steps."""
    tokens: dict[str, int]
    """Targets that bore loss, by modality."""
    validation: dict[str, dict[str, float]]
    """Held-out losses by source and modality."""
    tokens_per_s: float | None
    """Median over the records of ``metrics.jsonl``."""
    plan: str
    """Fingerprint of the plan."""


@dataclass(frozen=True, kw_only=True)
class TokensBySource(Record):
    """The part of `RunSummary` that tells what was read."""

    tokens_by_source: dict[str, SourceTokens] | None = None
    """Tokens planned and read, by source."""
