"""Settings of a whole training run: model, parallel layout, data, optimizer, budget, checkpoints, logs."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from megatron_speech.config.run.data import DataConfig
from megatron_speech.config.run.evaluation import TrainingEvaluationConfig
from megatron_speech.config.run.model import ModelConfig
from megatron_speech.config.run.parallel import ParallelConfig, PrecisionConfig


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """AdamW and its learning-rate schedule (paper: beta1 0.9, beta2 0.95, linear decay from 6e-5 to 6e-6)."""

    lr: float = 6e-5
    """Peak learning rate."""
    min_lr: float = 6e-6
    """Learning rate at the end of the run."""
    lr_decay_style: Literal["linear", "cosine", "constant"] = "linear"
    """Shape of the decay from lr to min_lr over the token budget."""
    lr_warmup_fraction: float = 0.01
    """Share of the token budget over which the learning rate rises linearly from 0."""
    adam_beta1: float = 0.9
    """Decay rate of the first moment."""
    adam_beta2: float = 0.95
    """Decay rate of the second moment."""
    adam_eps: float = 1e-8
    """Term added to the denominator, against division by zero."""
    weight_decay: float = 0.1
    """Decoupled weight decay; applied to matrices only."""
    clip_grad: float = 1.0
    """Largest global gradient norm; 0 disables clipping."""

    def __post_init__(self) -> None:
        for name, low, high in (
            ("lr", 0.0, 10.0),
            ("min_lr", 0.0, 10.0),
            ("lr_warmup_fraction", 0.0, 1.0),
            ("adam_beta1", 0.0, 1.0),
            ("adam_beta2", 0.0, 1.0),
            ("adam_eps", 0.0, 1.0),
            ("weight_decay", 0.0, 10.0),
            ("clip_grad", 0.0, 1e9),
        ):
            if not low <= getattr(self, name) <= high:  # false for nan too
                raise ValueError(f"optimizer.{name}={getattr(self, name)} must lie in {low:g} to {high:g}; correct it")
        for name in ("adam_beta1", "adam_beta2"):
            if getattr(self, name) == 1:
                raise ValueError(f"optimizer.{name}=1 would never learn: it must be below 1; 0.9 and 0.95 are usual")
        if self.adam_eps == 0:
            raise ValueError("optimizer.adam_eps=0 divides by 0 where a gradient is 0: it must be above 0; use 1e-8")
        if self.min_lr > self.lr and self.lr_decay_style != "constant":
            raise ValueError(
                f"optimizer.min_lr={self.min_lr:g} exceeds optimizer.lr={self.lr:g}, from which it decays; lower it"
            )


@dataclass(frozen=True, kw_only=True)
class BatchRampConfig:
    """A global batch size that grows during training (megatron-core's rampup_batch_size)."""

    start: int
    """Rows in the first step."""
    increment: int
    """Rows added at each increase, until train.global_batch_size is reached."""
    samples: int
    """Rows read during the whole ramp, divided equally among the batch sizes."""

    def __post_init__(self) -> None:
        _at_least("train.batch_ramp", self, start=1, increment=1, samples=1)


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Token budget and batch size."""

    tokens: int | None = None
    """Tokens to train on, rounded up to whole rows; null if data.stages give them. The last step may be smaller than a
    global batch."""
    micro_batch_size: int = 1
    """Rows per rank and forward pass."""
    global_batch_size: int = 8
    """Rows per optimizer step, over all ranks."""
    batch_ramp: BatchRampConfig | None = None
    """Growth of the batch size at the start of the run; null uses global_batch_size throughout."""
    stop_at_step: int | None = None
    """Save a checkpoint and exit at this step, before the budget is spent; the run can resume in another layout."""
    seed: int = 1234
    """Seed of initial weights and dropout."""
    freeze_text_steps: int = 0
    """Number of first steps that train only the new rows of the embedding (and of the output head)."""

    def __post_init__(self) -> None:
        _at_least("train", self, micro_batch_size=1, global_batch_size=1, freeze_text_steps=0)
        for name in ("tokens", "stop_at_step"):
            if getattr(self, name) is not None:
                _at_least("train", self, **{name: 1})
        for name in ("tokens", "stop_at_step", "global_batch_size", "micro_batch_size"):
            if (getattr(self, name) or 0) > 1e15:  # the limit of data.stages
                raise ValueError(f"train.{name}={getattr(self, name)} must be at most 1e15; lower it")
        if self.global_batch_size % self.micro_batch_size:
            raise ValueError(
                f"train.global_batch_size={self.global_batch_size} must be a multiple of "
                f"train.micro_batch_size={self.micro_batch_size} x data parallel size; change one"
            )
        ramp = self.batch_ramp
        if ramp is None:
            return
        if ramp.start >= self.global_batch_size or (self.global_batch_size - ramp.start) % ramp.increment:
            raise ValueError(
                f"train.batch_ramp: start={ramp.start} plus whole increments of {ramp.increment} must reach "
                f"train.global_batch_size={self.global_batch_size}; change one"
            )
        for size in self.batch_sizes:
            if size % self.micro_batch_size:
                raise ValueError(
                    f"train.batch_ramp: its step of {size} rows must be a multiple of "
                    f"train.micro_batch_size={self.micro_batch_size} x data parallel size; change one"
                )

    @property
    def batch_sizes(self) -> list[int]:
        """Batch sizes in rows, in the order of their use."""
        if self.batch_ramp is None:
            return [self.global_batch_size]
        return list(range(self.batch_ramp.start, self.global_batch_size + 1, self.batch_ramp.increment))


@dataclass(frozen=True, kw_only=True)
class CheckpointConfig:
    """When to save checkpoints, how many to keep, and whether to resume."""

    every_steps: int = 100
    """Steps between checkpoints; one is also saved at the end."""
    keep_last: int = 2
    """Number of complete checkpoints to keep."""
    resume: Literal["never", "required", "if_present"] = "never"
    """Whether to continue from the run folder's newest checkpoint. 'never' refuses a folder that has one; 'required'
    refuses a folder without one. 'if_present' suits requeued jobs: the log states which case it found."""

    def __post_init__(self) -> None:
        _at_least("checkpoint", self, every_steps=1, keep_last=1)


@dataclass(frozen=True, kw_only=True)
class LoggingConfig:
    """How often metrics are logged and validation runs."""

    every_steps: int = 1
    """Steps between two lines of metrics."""
    validate_every_steps: int = 0
    """Steps between passes over data.validation and evaluation; 0 validates only at the end."""
    validation_rows: int = 64
    """Rows read from each validation source."""

    def __post_init__(self) -> None:
        _at_least("logging", self, every_steps=1, validate_every_steps=0, validation_rows=1)


@dataclass(frozen=True, kw_only=True)
class PretrainConfig:
    """All settings of one training run: one YAML file describes one run."""

    folder: Path
    """Run folder for configuration, checkpoints, TensorBoard and logs."""
    model: ModelConfig = field(default_factory=ModelConfig)
    """Shape and initial weights of the model."""
    parallel: ParallelConfig = field(default_factory=ParallelConfig)
    """Parallel layout over ranks."""
    precision: PrecisionConfig = field(default_factory=PrecisionConfig)
    """Number formats."""
    data: DataConfig
    """Data mixture."""
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    """Optimizer and learning-rate schedule."""
    train: TrainConfig = field(default_factory=TrainConfig)
    """Token budget and batch size."""
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)
    """Saving and resuming."""
    logging: LoggingConfig = field(default_factory=LoggingConfig)
    """Metrics and validation."""
    evaluation: TrainingEvaluationConfig | None = None
    """Evaluation tasks that are asked at every validation; null asks none."""

    def __post_init__(self) -> None:
        # Budget and sources.
        if self.data.stages and self.train.tokens is not None:
            raise ValueError(
                f"train.tokens={self.train.tokens} has no meaning beside data.stages, which give the run's tokens; "
                "leave it out"
            )
        if not any(source.weight > 0 for source in self.data.sources.values()):
            raise ValueError(
                "data.sources needs at least one source with a weight above 0; name a folder of packed shards"
            )
        # Row length against the model, the parallel layout and the number format.
        if self.data.seq_length > self.model.max_position_embeddings:
            raise ValueError(
                f"data.seq_length={self.data.seq_length} exceeds model.max_position_embeddings="
                f"{self.model.max_position_embeddings}; shorten the rows or raise the limit"
            )
        # Context parallelism pads each document to a multiple anyway (parallel.context).
        cut = self.parallel.tensor_model_parallel_size if self.parallel.sequence_parallel else 1
        if self.parallel.context_parallel_size == 1 and self.data.seq_length % cut:
            raise ValueError(
                f"data.seq_length={self.data.seq_length} must be a multiple of "
                f"parallel.tensor_model_parallel_size={cut} under sequence_parallel; change one"
            )
        tokens = self.train.micro_batch_size * self.data.seq_length
        self.precision.check_shapes(self.model, self.parallel, tokens=tokens)

    @property
    def num_samples(self) -> int | None:
        """Rows in the token budget, rounded up; None if data.stages decide. Raises ValueError if neither is given."""
        if self.data.stages:
            return None
        if self.train.tokens is None:
            raise ValueError("train.tokens is missing; give the run's tokens, or data.stages with their own")
        return -(-self.train.tokens // self.data.seq_length)


def _at_least(section: str, config: object, **least: int) -> None:
    """Raise ValueError if a field of `config` named in `least` is below the given minimum."""
    for name, low in least.items():
        if getattr(config, name) < low:
            raise ValueError(f"{section}.{name}={getattr(config, name)} must be at least {low}; raise it")
