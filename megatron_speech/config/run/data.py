"""Settings of the training data: packed sources, their shares of the run, and which tokens are trained on."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Literal

from megatron_speech.config.parsing.inputs import RowsFolder
from megatron_speech.config.run.reader import ReaderConfig, url_or_path

Task = Literal["text", "speech", "interleaved", "recognition", "synthesis", "dialogue"]

_TARGET_TASKS = ("recognition", "synthesis", "dialogue")


@dataclass(frozen=True, kw_only=True)
class LossConfig:
    """Which tokens of a source are targets, and their weights in the loss: sum(weight x loss) / sum(weight)."""

    tokens: Literal["all", "target"] | None = None
    """Targets: 'all' tokens, or only each document's 'target' part (recognition: the text; synthesis: the speech). Null
    is the paper's choice: 'target' for recognition, synthesis and dialogue, 'all' for the other tasks."""
    text_weight: float = 1.0
    """Weight of a text target, relative to every other target of the run. Special ids count as text."""
    speech_weight: float = 1.0
    """Weight of a speech target; 0 measures its loss without training on it."""

    def __post_init__(self) -> None:
        for name in ("text_weight", "speech_weight"):
            if not 0 <= getattr(self, name) < 1e9:  # false for nan too
                raise ValueError(f"loss.{name}={getattr(self, name)} must lie in 0 to 1e9; 1 is even")
        if self.text_weight == self.speech_weight == 0:
            raise ValueError(
                "loss.text_weight=0 and loss.speech_weight=0 leave nothing to learn; raise one, "
                "or leave the source out by its weight: 0"
            )


@dataclass(frozen=True, kw_only=True)
class SourceConfig:
    """One folder of packed token shards (made by `pack_shards`)."""

    folder: str | RowsFolder
    """Folder with the packed shards and their manifest, or its URL (http, https, s3; see data.reader.cache)."""
    task: Task
    """Kind of documents. Losses are reported by task; the task also decides loss.tokens if that is null."""
    weight: float = 1.0
    """Share of train.tokens, relative to the other sources; 0 leaves the source out. With data.stages, the stages
    decide instead."""
    max_epochs: float | None = None
    """Refuse to start a run that would read this source more often than this over all stages; null for no limit."""
    loss: LossConfig = field(default_factory=LossConfig)
    """Which tokens are trained on, and their weights."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "folder", url_or_path(self.folder))

    @property
    def policy(self) -> LossConfig:
        """Loss policy: the loss settings with `tokens` resolved, never null."""
        by_task: Literal["all", "target"] = "target" if self.task in _TARGET_TASKS else "all"
        return dataclasses.replace(self.loss, tokens=self.loss.tokens or by_task)


@dataclass(frozen=True, kw_only=True)
class ShareConfig:
    """How much of a source a stage reads: exactly one of weight, share, epochs, tokens and remainder."""

    weight: float | None = None
    """Weight among the stage's weighted sources; together they divide the tokens that its other shares leave."""
    share: float | None = None
    """Fraction of the stage's tokens, such as 0.3."""
    epochs: float | None = None
    """Passes over the source, starting where earlier stages stopped reading it; 1.0 reads every row exactly once."""
    tokens: int | None = None
    """Number of tokens, rounded up to whole rows."""
    remainder: bool = False
    """Take all tokens that the stage's other shares leave; allowed for one source per stage."""
    loss: LossConfig | None = None
    """Loss settings of the source in this stage; null for the source's own."""

    def check(self, key: str) -> None:
        """Raise ValueError unless exactly one amount is given and lies within its limits; `key` is the share's path."""
        given = {name: getattr(self, name) for name in ("weight", "share", "epochs", "tokens")}
        given = {name: value for name, value in given.items() if value is not None}
        if len(given) + self.remainder != 1:
            names = ", ".join([*given, *["remainder"] * self.remainder])
            remedy = f"has {names}; keep one" if names else "has none; give one"
            raise ValueError(f"{key} takes one of weight, share, epochs, tokens and remainder: true, but {remedy}")
        for name, value in given.items():
            highest = 1 if name == "share" else 1e15
            if not 0 <= value <= highest:  # false for nan too
                raise ValueError(f"{key}.{name}={value} must lie in 0 to {highest:g}; correct it")

    @property
    def takes_what_is_left(self) -> bool:
        """Whether the amount depends on what the stage's other shares leave."""
        return self.weight is not None or self.remainder


@dataclass(frozen=True, kw_only=True)
class StageConfig:
    """A part of the run with one mixture; every source continues where the previous stage stopped reading it."""

    sources: dict[str, ShareConfig]
    """Sources to read and how much of each, by their names in data.sources."""
    tokens: int | None = None
    """Tokens of the stage, rounded up to whole rows; null if every source gives epochs or tokens."""
    name: str = ""
    """Name of the stage in tables."""
    stop_at_sample: int | None = None
    """End the stage after this sample number of the run, even if tokens are left. With data.extend_plan, this changes
    the mixture of a run that has started."""

    def check(self, key: str) -> None:
        """Raise ValueError if the stage's shares contradict each other or its tokens; `key` is the stage's path."""
        shares, label = self.sources.values(), f"{key} ({self.name})" if self.name else key
        for name, share in self.sources.items():
            share.check(f"{label}.sources.{name}")
        for name, value in (("tokens", self.tokens), ("stop_at_sample", self.stop_at_sample)):
            if value is not None and value < 1:
                raise ValueError(f"{label}.{name}={value} must be at least 1; raise it or leave it out")
        if not self.sources:
            raise ValueError(f"{label}.sources is empty; name a source of data.sources")
        if any(share.remainder for share in shares) and sum(share.takes_what_is_left for share in shares) > 1:
            raise ValueError(f"{label}: a remainder leaves nothing to another remainder or weight; use weights alone")
        divided = any(share.takes_what_is_left for share in shares)
        if divided and self.tokens is None:
            raise ValueError(f"{label}.tokens is missing; weights and a remainder divide what it leaves")
        if not divided and (self.tokens is not None or any(share.share is not None for share in shares)):
            raise ValueError(
                f"{label}: no source takes what is left of its tokens; give one remainder: true, or give epochs or "
                "tokens of every source and leave the stage's tokens out"
            )


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """The data mixture. The order of samples is a pure function of the sample number and `seed`."""

    seq_length: int = 1024
    """Tokens per packed row; must equal seq_length of the packed shards."""
    sources: dict[str, SourceConfig] = field(default_factory=dict)
    """Training sources by name; losses are logged by source, task and modality."""
    stages: list[StageConfig] = field(default_factory=list)
    """Stages of the run, in order; their tokens add up to the run's. Empty means one stage of train.tokens, which the
    sources share by weight."""
    extend_plan: bool = False
    """Allow a resumed run to change its plan after the samples read so far. Stages may be added, changed before they
    start, or ended by stop_at_sample; everything already read must stay the same."""
    validation: dict[str, SourceConfig] = field(default_factory=dict)
    """Held-out sources by name, read in order and evaluated separately. Their loss.tokens applies, their weights do
    not."""
    seed: int = 0
    """Seed of the sample order."""
    reader: ReaderConfig = field(default_factory=ReaderConfig)
    """How rows are read from storage."""

    def __post_init__(self) -> None:
        if self.seq_length < 2:
            raise ValueError(f"data.seq_length={self.seq_length} must be at least 2; use the packed shards' length")
        # Checked here because a source does not know its own name.
        for section, sources in (("sources", self.sources), ("validation", self.validation)):
            for name, source in sources.items():
                self.reader.check_folder(f"data.{section}.{name}.folder", source.folder)
                if source.weight < 0:
                    raise ValueError(
                        f"data.{section}.{name}.weight={source.weight} must not be negative; use 0 to leave it out"
                    )
                if not source.weight < 1e15 or not 0 <= (source.max_epochs or 0) < 1e15:  # true for nan too
                    raise ValueError(
                        f"data.{section}.{name}: weight={source.weight} and max_epochs={source.max_epochs} must lie in "
                        "0 to 1e15; correct them"
                    )
        self._check_stages()

    def _check_stages(self) -> None:
        weighted = [name for name, source in self.sources.items() if source.weight != 1]
        if self.stages and weighted:
            raise ValueError(
                f"data.sources.{weighted[0]}.weight={self.sources[weighted[0]].weight:g} has no meaning beside "
                "data.stages; give the weight in a stage"
            )
        for index, stage in enumerate(self.stages):
            stage.check(f"data.stages[{index}]")  # here because a stage does not know its own index
            for name in stage.sources:
                if name not in self.sources:
                    raise ValueError(
                        f"data.stages[{index}].sources.{name} is none of data.sources "
                        f"({', '.join(self.sources) or 'empty'}); declare it there"
                    )

    @property
    def lessons(self) -> list[tuple[str, LossConfig]]:
        """Distinct (source, loss policy) pairs: first every source with its own policy, then what stages add."""
        own = [(name, source.policy) for name, source in self.sources.items()]
        of_stages = [(name, self.lesson(name, share)) for stage in self.stages for name, share in stage.sources.items()]
        return own + [pair for index, pair in enumerate(of_stages) if pair not in own + of_stages[:index]]

    def lesson(self, name: str, share: ShareConfig) -> LossConfig:
        """Loss policy of source `name` in a stage that reads `share` of it."""
        source = self.sources[name]
        return source.policy if share.loss is None else dataclasses.replace(source, loss=share.loss).policy

    @property
    def loss_weights(self) -> list[tuple[float, float]]:
        """(text, speech) target weights of each of the `lessons`, in order."""
        return [(loss.text_weight, loss.speech_weight) for _, loss in self.lessons]
