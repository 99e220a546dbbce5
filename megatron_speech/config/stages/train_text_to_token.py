"""Settings of text-to-token training: those of any training run, with defaults for this one task."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from megatron_speech.config.parsing.inputs import RowsFolder
from megatron_speech.config.run.data import DataConfig, LossConfig, ShareConfig, SourceConfig, StageConfig
from megatron_speech.config.run.model import ModelConfig
from megatron_speech.config.run.parallel import ParallelConfig, PrecisionConfig
from megatron_speech.config.run.training import (
    CheckpointConfig,
    LoggingConfig,
    OptimizerConfig,
    PretrainConfig,
    TrainConfig,
)

TEXT_TO_TOKEN_MODEL = ModelConfig(
    num_layers=6,
    hidden_size=256,
    ffn_hidden_size=688,
    num_attention_heads=4,
    num_query_groups=2,
    max_position_embeddings=2048,
    rotary_base=10_000.0,
)
"""5M parameters: enough for one voice, small enough for two CPU cores."""
TEXT_TO_TOKEN_OPTIMIZER = OptimizerConfig(lr=1e-3, min_lr=1e-4, lr_warmup_fraction=0.05)


@dataclass(frozen=True, kw_only=True)
class FirstPairsConfig:
    """Pairs to train on first. A model learns the alignment of letters and sounds much sooner from short pairs."""

    pairs: RowsFolder
    """Packed rows, with the same seq_length as those of the pairs that follow."""
    tokens: int
    """Number of tokens to read; the rows repeat if they hold fewer."""

    def __post_init__(self) -> None:
        if self.tokens < 1:
            raise ValueError(f"first: tokens={self.tokens} of {self.pairs} must be at least 1; or leave it out")


@dataclass(frozen=True, kw_only=True)
class TrainTextToTokenConfig:
    """Train a text-to-token model on packed (text, speech) pairs."""

    folder: Path
    """Run folder for configuration, checkpoints, TensorBoard and logs."""
    pairs: RowsFolder
    """Packed rows of text_to_token documents (`build_task_documents`, `pack_shards`)."""
    first: dict[str, FirstPairsConfig] = field(default_factory=dict)
    """Pairs to train on before `pairs`, by name and in order; their tokens count towards train.tokens."""
    held_out: RowsFolder | None = None
    """Packed rows of held-out pairs for measuring the loss; null for none."""
    seq_length: int = 512
    """Tokens per packed row; must equal seq_length of the packed rows."""
    model: ModelConfig = field(default_factory=lambda: TEXT_TO_TOKEN_MODEL)
    """Shape and initial weights: a small decoder from scratch, or the folder of an imported base model."""
    parallel: ParallelConfig = field(default_factory=ParallelConfig)
    """Parallel layout over ranks."""
    precision: PrecisionConfig = field(default_factory=PrecisionConfig)
    """Number formats."""
    optimizer: OptimizerConfig = field(default_factory=lambda: TEXT_TO_TOKEN_OPTIMIZER)
    """Optimizer and learning-rate schedule."""
    train: TrainConfig = field(default_factory=lambda: TrainConfig(global_batch_size=4))
    """Token budget and batch size."""
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)
    """Saving and resuming."""
    logging: LoggingConfig = field(default_factory=LoggingConfig)
    """Metrics and validation."""

    def __post_init__(self) -> None:
        if self.train.tokens is None:
            raise ValueError("train.tokens is missing; give the run's tokens, those of `first` included")
        if "pairs" in self.first:
            raise ValueError("first.pairs: that name is taken by the pairs that follow; use another")
        if self.tokens_of_pairs < 1:
            raise ValueError(
                f"train.tokens={self.train.tokens} leaves nothing for pairs={self.pairs} behind the tokens of `first`; "
                "raise it, or lower those"
            )
        _ = self.run  # a PretrainConfig checks itself when it is made

    @property
    def tokens_of_pairs(self) -> int:
        """Number of tokens to read from `pairs`."""
        return (self.train.tokens or 0) - sum(each.tokens for each in self.first.values())

    @property
    def run(self) -> PretrainConfig:
        """The equivalent `PretrainConfig`: one stage per set of pairs, with loss on the speech only."""
        sources = {**{name: each.pairs for name, each in self.first.items()}, "pairs": self.pairs}
        tokens = {**{name: each.tokens for name, each in self.first.items()}, "pairs": self.tokens_of_pairs}
        return PretrainConfig(
            folder=self.folder,
            data=DataConfig(
                seq_length=self.seq_length,
                sources={name: _source(rows) for name, rows in sources.items()},
                stages=[
                    # The remainder is all tokens of the stage, since it has one source.
                    StageConfig(name=name, tokens=tokens[name], sources={name: ShareConfig(remainder=True)})
                    for name in sources
                ],
                validation={"held_out": _source(self.held_out)} if self.held_out else {},
            ),
            model=self.model,
            parallel=self.parallel,
            precision=self.precision,
            optimizer=self.optimizer,
            train=replace(self.train, tokens=None),  # the stages have the tokens
            checkpoint=self.checkpoint,
            logging=self.logging,
        )


def _source(rows: Path) -> SourceConfig:
    """Packed pairs as a source; its targets are the speech of each pair, not the text."""
    return SourceConfig(folder=rows, task="synthesis", loss=LossConfig(tokens="target"))
