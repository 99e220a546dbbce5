"""Records in the folder of a training run: ``metrics.jsonl``, ``validation.jsonl`` and ``done.json``.

A reader that needs few fields of a file has a record of those, and so also reads files that lack the others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from megatron_speech.artifacts.facts.record import Record


@dataclass(frozen=True, kw_only=True)
class ReadingRecord(Record):
    """Counters of data reading over all ranks: two fields of `MetricsRecord`."""

    rows: dict[str, int] | None = None
    """Packed rows read since the run began, by source."""
    reading: dict[str, float] | None = None
    """By name. Since the last record: the longest wait of a rank (``stalled_s``), percentiles of read times, bytes,
    cache hits and misses, retries. Since the run began: damaged samples and blocks."""


@dataclass(frozen=True, kw_only=True)
class MetricsRecord(Record):
    """A line of ``metrics.jsonl``: one training step. Losses are in nats per target."""

    step: int
    """Number of the step, from 1."""
    consumed_samples: int
    """Packed rows read since the run began."""
    tokens: dict[str, int]
    """Targets in the loss since the run began, by modality."""
    loss: float
    """Training loss: the mean over all targets, with the weights of the setting `loss` of each source."""
    losses: dict[str, dict[str, float]]
    """Unweighted mean losses by source and modality."""
    loss_by_task: dict[str, dict[str, float]]
    """Unweighted mean losses by training task and modality."""
    loss_by_modality: dict[str, float]
    """Unweighted mean losses by modality."""
    lr: float
    """Learning rate of the step."""
    grad_norm: float
    """Norm of the gradients before clipping."""
    tokens_per_s: float
    """Tokens of the rows read, per second, over all ranks, since the last record."""
    rows: dict[str, int] | None = None
    """See `ReadingRecord`."""
    reading: dict[str, float] | None = None
    """See `ReadingRecord`."""


@dataclass(frozen=True, kw_only=True)
class HeldOutLosses(Record):
    """Losses on held-out rows: the fields of `ValidationRecord` that reports and model cards read."""

    step: int
    """Training step of the scored weights."""
    losses: dict[str, dict[str, float]]
    """Mean losses by source and modality, in nats per target."""


@dataclass(frozen=True, kw_only=True)
class ValidationRecord(HeldOutLosses):
    """A line of ``validation.jsonl``: one pass over the held-out rows."""

    targets: dict[str, dict[str, int]]
    """Targets scored, by source and modality."""
    rows: dict[str, int]
    """Packed rows scored, by source."""
    trained_tokens: int | None = None
    """Targets in the loss since the run began; absent if no task was asked."""
    tasks: dict[str, Any] | None = None
    """Results of the tasks of the setting `evaluation`, as in ``evaluation.json``; absent if none was asked."""


@dataclass(frozen=True, kw_only=True)
class SourceTokens(Record):
    """Tokens that a run reads of one source: number of rows times `seq_length`."""

    planned: int
    """Tokens of the rows in the plan."""
    read: int | None
    """Tokens of the rows counted while the run read them; null if the last line of ``metrics.jsonl`` is lost."""


@dataclass(frozen=True, kw_only=True)
class RunSummary(Record):
    """``done.json``: a finished run. A value is null if it stood in a lost line of ``metrics.jsonl``."""

    steps: int
    """Training steps."""
    consumed_samples: int
    """Packed rows read."""
    tokens: dict[str, int]
    """Targets in the loss, by modality."""
    loss: float | None
    """Loss of the last step."""
    losses: dict[str, dict[str, float]] | None
    """Losses of the last step, by source and modality."""
    validation: dict[str, dict[str, float]]
    """Held-out losses by source and modality."""
    validation_targets: dict[str, dict[str, int]]
    """Number of held-out targets, by source and modality."""
    validation_rows: dict[str, int]
    """Packed rows scored, by source."""
    tokens_per_s: float | None
    """Median tokens per second over the records of ``metrics.jsonl``."""
    plan: str
    """Fingerprint of the plan."""
    damage: dict[str, int | None]
    """Number of masked samples (``damaged_samples``), and of the damaged blocks that hold them (``damaged_blocks``)."""
    tokens_by_source: dict[str, SourceTokens]
    """Tokens planned and read, by source."""


@dataclass(frozen=True, kw_only=True)
class FollowedPlan(Record):
    """The fields of `RunSummary` by which a run that is started again knows whether it is already done."""

    steps: int
    """Training steps."""
    consumed_samples: int
    """Packed rows read."""
    plan: str
    """Fingerprint of the plan."""


@dataclass(frozen=True, kw_only=True)
class FinishedRun(Record):
    """The fields of `RunSummary` that comparisons of runs read."""

    steps: int
    """Training steps."""
    tokens: dict[str, int]
    """Targets in the loss, by modality."""
    validation: dict[str, dict[str, float]]
    """Held-out losses by source and modality."""
    tokens_per_s: float | None
    """Median tokens per second over the records of ``metrics.jsonl``."""
    plan: str
    """Fingerprint of the plan."""


@dataclass(frozen=True, kw_only=True)
class TokensBySource(Record):
    """The field `tokens_by_source` of `RunSummary`, which older runs lack."""

    tokens_by_source: dict[str, SourceTokens] | None = None
    """Tokens planned and read, by source."""
