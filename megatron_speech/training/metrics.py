"""Writes the metrics of a run to metrics.jsonl, TensorBoard, and a progress bar or log lines. Only rank 0 writes.

``metrics.jsonl`` has one line per logged step. When a run resumes, later lines are dropped, so no step appears twice.
Losses are means over the targets of the step, in nats. Records are written together once a second and before every
checkpoint, because single writes would slow a fast step by several percent. Cost: a killed run loses up to a second of
lines; the resumed run repeats their steps.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.utils.tensorboard import FileWriter

from megatron_speech.artifacts.facts.estimate import estimates_in
from megatron_speech.artifacts.facts.training import MetricsRecord, ReadingRecord, ValidationRecord
from megatron_speech.artifacts.jsonl_log import append_records
from megatron_speech.config.run.data import DataConfig
from megatron_speech.model.loss import SPEECH, TEXT
from megatron_speech.platform.private_names import scalar_summary, session_start
from megatron_speech.progress import Progress
from megatron_speech.training.history import METRICS, VALIDATION, resume_logs
from megatron_speech.training.state import TrainState

logger = logging.getLogger(__name__)

BY_TOKENS = "by_tokens"
"""Folder beside TensorBoard's events whose steps are trained tokens."""
WRITE_SECONDS = 1.0
"""Seconds between two writes of records."""
MODALITIES = {"text": TEXT, "speech": SPEECH}
Losses = dict[str, dict[str, float]]


def mean_losses(sums: Tensor, names: Sequence[str]) -> Losses:
    """Mean loss by name and modality from `sums` [sources, 2, 2] of `training_loss`.

    `names` gives a name (source or task) for each source; sources with the same name are added up. A modality without
    targets is left out.
    """
    totals: dict[str, list[list[float]]] = {name: [[0.0, 0.0], [0.0, 0.0]] for name in names}
    for name, cells in zip(names, sums.tolist(), strict=True):
        for total, (loss, targets) in zip(totals[name], cells, strict=True):
            total[0] += loss
            total[1] += targets
    means = {
        name: {key: total[at][0] / total[at][1] for key, at in MODALITIES.items() if total[at][1] > 0}
        for name, total in totals.items()
    }
    return {name: by_modality for name, by_modality in means.items() if by_modality}


def target_counts(sums: Tensor) -> dict[str, int]:
    """Number of targets by modality over all sources, from `sums` [sources, 2, 2]."""
    counts = sums[..., 1].sum(0).tolist()
    return {name: int(counts[at]) for name, at in MODALITIES.items()}


def modality_losses(sums: Tensor) -> dict[str, float]:
    """Mean loss by modality over all sources, from `sums` [sources, 2, 2]."""
    return mean_losses(sums, ["all"] * len(sums)).get("all", {})


def total_loss(sums: Tensor, weights: Sequence[Sequence[float]]) -> float:
    """The training loss: weighted loss sum over the sum of weights ([sources, 2]); 0 without targets."""
    loss = weight = 0.0
    for cells, cell_weights in zip(sums.tolist(), weights, strict=True):
        for (cell_loss, targets), each in zip(cells, cell_weights, strict=True):
            loss += cell_loss * each
            weight += targets * each
    return loss / weight if weight > 0 else 0.0


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """Result of a validation: a line of validation.jsonl."""

    losses: Losses
    """Mean loss by source and modality, nats per target."""
    targets: dict[str, dict[str, int]]
    """Number of targets by source and modality."""
    rows: dict[str, int]
    """Number of packed rows by source."""
    tasks: dict[str, Any] | None = None
    """On rank 0: results of evaluation tasks, as in evaluation.json; None if none was asked."""


@dataclass(frozen=True, kw_only=True)
class _Step:
    """Values of a record that is not written yet."""

    state: TrainState
    sums: Tensor
    lr: float
    grad_norm: float
    tokens_per_s: float
    reading: ReadingRecord


class MetricsLog:
    """Writes one record per logged step to a file, TensorBoard and the terminal; does nothing unless `enabled`."""

    def __init__(
        self,
        folder: Path,
        *,
        data: DataConfig,
        first_step: int,
        total_steps: int,
        every_steps: int = 1,
        first_tokens: int | None = None,
        enabled: bool,
    ) -> None:
        # Attributes of all ranks.
        self._enabled = enabled
        self._sources = [name for name, _ in data.lessons]
        self._tasks = [data.sources[name].task for name in self._sources]
        self._weights = data.loss_weights
        self._seq_length = data.seq_length
        self._total_steps = total_steps
        self._since, self._tokens = time.monotonic(), 0
        self._waiting: list[_Step] = []
        self._written = self._since
        if not enabled:
            return

        # Cut the logs back. A run that resumes at its last step validates again, so the old line of that step goes.
        validated = first_step - 1 if first_step == total_steps else first_step
        resume_logs(folder, step=first_step, validated=validated, every_steps=every_steps)
        self._folder = folder
        self._board = FileWriter(str(folder / "tensorboard"))
        # Open TensorBoard, which drops the steps that a resumed run repeats, and the progress bar.
        self._board.add_event(session_start(), step=first_step + 1)
        # Accuracies stand against trained tokens: a folder of their own, because a folder has one kind of steps.
        self._by_tokens = None
        if first_tokens is not None:
            self._by_tokens = FileWriter(str(folder / "tensorboard" / BY_TOKENS))
            self._by_tokens.add_event(session_start(), step=first_tokens + 1)
        self._progress = Progress(f"train {folder}", unit="steps", total=total_steps, done=first_step)
        self._progress.__enter__()
        self._terminal = sys.stderr.isatty()

    def count(self, tokens: int) -> None:
        """Count a step and its tokens, for the rates."""
        self._tokens += tokens
        if self._enabled:
            self._progress.add()

    def log_step(
        self, state: TrainState, sums: Tensor, *, lr: float, grad_norm: float, reading: ReadingRecord | None = None
    ) -> None:
        """Record the step that led to `state`; `reading` comes from `training.reading`."""
        if not self._enabled:
            return
        now = time.monotonic()
        rate = self._tokens / max(now - self._since, 1e-9)
        step = _Step(
            state=state, sums=sums, lr=lr, grad_norm=grad_norm, tokens_per_s=rate, reading=reading or ReadingRecord()
        )
        self._waiting.append(step)
        if now - self._written >= WRITE_SECONDS:
            self.write()
        self.restart_clock()

    def write(self) -> None:
        """Write all waiting records."""
        if not self._waiting:
            return
        records = [self._record(step) for step in self._waiting]
        self._waiting, self._written = [], time.monotonic()
        append_records(self._folder / METRICS, [record.to_json() for record in records])
        for record in records:
            self._to_board(_scalars(record), record.step)
            self._say(record)

    def _record(self, step: _Step) -> MetricsRecord:
        return MetricsRecord(
            step=step.state.step,
            consumed_samples=step.state.consumed_samples,
            tokens={"text": step.state.text_tokens, "speech": step.state.speech_tokens},
            loss=total_loss(step.sums, self._weights),
            losses=mean_losses(step.sums, self._sources),
            loss_by_task=mean_losses(step.sums, self._tasks),
            loss_by_modality=modality_losses(step.sums),
            lr=step.lr,
            grad_norm=step.grad_norm,
            tokens_per_s=step.tokens_per_s,
            **vars(step.reading),
        )

    def log_validation(self, state: TrainState, found: HeldOut) -> None:
        """Record a validation."""
        if self._enabled:
            self.write()
            tokens = state.trained_tokens if found.tasks is not None else None
            record = ValidationRecord(step=state.step, **vars(found), trained_tokens=tokens)
            append_records(self._folder / VALIDATION, [record.to_json()])
            self._to_board(_by_source("validation", found.losses), state.step)
            for name, losses in found.losses.items():
                logger.info("step %d: held-out loss of %s: %s", state.step, name, losses_in_words(losses))
            self._log_tasks(state, found.tasks or {})
            self.restart_clock()

    def _log_tasks(self, state: TrainState, results: dict[str, Any]) -> None:
        found = list(estimates_in(results))
        if self._by_tokens and found:
            scalars = {"/".join(names): estimate.value for names, estimate in found}
            self._by_tokens.add_summary(scalar_summary(scalars), state.trained_tokens)
            self._by_tokens.flush()
        for names, each in found:
            shown = f"{each.value:.3f} ({each.low:.3f} to {each.high:.3f}, {each.items} items)"
            logger.info("step %d: accuracy of %s: %s", state.step, " ".join(names), shown)

    def restart_clock(self) -> None:
        """Start measuring the rate anew, without the time of validation or saving."""
        self._since, self._tokens = time.monotonic(), 0

    def close(self) -> None:
        """Write all waiting records and close bar and TensorBoard."""
        self.write()
        if self._enabled:
            self._progress.__exit__(None, None, None)
            self._board.close()
            if self._by_tokens:
                self._by_tokens.close()

    def _to_board(self, scalars: dict[str, float], step: int) -> None:
        """Write all scalars of a step as one event."""
        self._board.add_summary(scalar_summary(scalars), step)

    def _say(self, record: MetricsRecord) -> None:
        parts = " ".join(f"{name} {value:.4f}" for name, value in record.loss_by_modality.items())
        line = f"loss {record.loss:.4f} ({parts}) lr {record.lr:.2e} norm {record.grad_norm:.3f}"
        tokens = f"{record.consumed_samples * self._seq_length:,} tokens so far"
        if self._terminal:
            self._progress.note = f"{tokens}, {line}"
        else:
            speed = f"{record.tokens_per_s:.0f} tokens/s, {self._progress.left_in_words()}"
            logger.info("step %d of %d: %s, %s, %s", record.step, self._total_steps, line, tokens, speed)


def _by_source(name: str, losses: Losses) -> dict[str, float]:
    """Scalars for TensorBoard by name, from losses by source and modality."""
    return {
        f"{name}/{source}/{modality}": value
        for source, by_modality in losses.items()
        for modality, value in by_modality.items()
    }


def _scalars(record: MetricsRecord) -> dict[str, float]:
    """All numbers of a record for TensorBoard, by name."""
    return {
        **{name: getattr(record, name) for name in ("loss", "lr", "grad_norm", "tokens_per_s")},
        **{f"loss_by_modality/{name}": value for name, value in record.loss_by_modality.items()},
        **{f"tokens/{name}": value for name, value in record.tokens.items()},
        **_by_source("loss", record.losses),
        **_by_source("loss_by_task", record.loss_by_task),
        **{f"reading/{name}": value for name, value in (record.reading or {}).items()},
    }


def losses_in_words(losses: Mapping[str, float]) -> str:
    """Losses by modality, as in "text 3.142, speech 5.271"."""
    return ", ".join(f"{modality} {loss:.3f}" for modality, loss in losses.items()) or "no targets"
