"""What a training run reads: packed sources, their shares, and what each of them teaches."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from megatron_speech.config.run.reader import ReaderConfig, url_or_path

Task = Literal["text", "speech", "interleaved", "recognition", "synthesis", "dialogue"]

_TARGET_TASKS = ("recognition", "synthesis", "dialogue")


@dataclass(frozen=True, kw_only=True)
class LossConfig:
    """Which tokens of a source are targets, and their weights in the loss: sum of weight x loss / sum of weights."""

    tokens: Literal["all", "target"] | None = None
    """Targets: 'all' tokens, or only those of each document's 'target' part (recognition: the text; synthesis: the
    speech); null for the paper's choice: target for recognition, synthesis and dialogue, all for the other tasks."""
    text_weight: float = 1.0
    """Weight of a text target (special ids count as text), relative to every other target of the run."""
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
    """One folder of packed token shards (made by tools/pack_shards.py)."""

    folder: str | Path
    """Folder with the packed shards and their manifest, or its URL (http, https, s3; see data.reader.cache)."""
    task: Task
    """What the documents are; losses are reported by task, and loss.tokens follows it where that is null."""
    weight: float = 1.0
    """Share of train.tokens, relative to the other sources; 0 leaves the source out. Where there are data.stages, they
    say how much is read."""
    max_epochs: float | None = None
    """Refuse a run that would read this source more often, over all stages; null for no limit."""
    loss: LossConfig = field(default_factory=LossConfig)
    """Which tokens are trained on, and how much they weigh."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "folder", url_or_path(self.folder))

    @property
    def policy(self) -> LossConfig:
        """`loss` with its tokens decided."""
        by_task: Literal["all", "target"] = "target" if self.task in _TARGET_TASKS else "all"
        return dataclasses.replace(self.loss, tokens=self.loss.tokens or by_task)


@dataclass(frozen=True, kw_only=True)
class ShareConfig:
    """How much of a source a stage reads: one of weight, share, epochs, tokens and remainder."""

    weight: float | None = None
    """Part of what the stage's other shares leave, relative to its other weights."""
    share: float | None = None
    """Part of all tokens of the stage, such as 0.3."""
    epochs: float | None = None
    """Passes over the source, from where earlier stages left it: 1.0 reads every row exactly once."""
    tokens: int | None = None
    """Tokens, rounded up to whole rows."""
    remainder: bool = False
    """All that the stage's other shares leave; for one source of a stage."""
    loss: LossConfig | None = None
    """What the source teaches in this stage; null for the source's own loss."""

    def check(self, key: str) -> None:
        """ValueError where the share, which stands at `key`, is none or several or leaves its limits."""
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
        """Whether the budgets of the other sources decide this one's."""
        return self.weight is not None or self.remainder


@dataclass(frozen=True, kw_only=True)
class StageConfig:
    """A stretch of the run with one mixture; every source goes on where the stage before left it."""

    sources: dict[str, ShareConfig]
    """What is read, by the names of data.sources."""
    tokens: int | None = None
    """Tokens of the stage, rounded up to whole rows; null where every source's epochs or tokens say it."""
    name: str = ""
    """For tables."""
    stop_at_sample: int | None = None
    """Leave the stage after this sample of the run although its budget is not spent: how a run that has begun gets
    another mixture (data.extend_plan)."""

    def check(self, key: str) -> None:
        """ValueError where the shares of the stage, which stands at `key`, contradict each other or its tokens."""
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
    """The mixture. Order is a pure function of the sample number and `seed`."""

    seq_length: int = 1024
    """Tokens per packed row; must equal the packed shards'."""
    sources: dict[str, SourceConfig] = field(default_factory=dict)
    """Training sources by name; losses are logged by source, by task and by modality."""
    stages: list[StageConfig] = field(default_factory=list)
    """How much of which source, in order; their tokens are the run's. Empty for one stage of train.tokens tokens which
    the sources share by their weights."""
    extend_plan: bool = False
    """Let a resumed run follow another plan than its checkpoint's behind the samples that are read already: stages
    added, changed before they begin, or left at stop_at_sample. Everything read so far must be the same."""
    validation: dict[str, SourceConfig] = field(default_factory=dict)
    """Held-out sources by name, read in order and evaluated one by one (no weight is used, loss.tokens is)."""
    seed: int = 0
    """Seed of the global order."""
    reader: ReaderConfig = field(default_factory=ReaderConfig)
    """How rows are read."""

    def __post_init__(self) -> None:
        if self.seq_length < 2:
            raise ValueError(f"data.seq_length={self.seq_length} must be at least 2; use the packed shards' length")
        # Checked here, because a source does not know its name.
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
            stage.check(f"data.stages[{index}]")  # here, because it does not know its number
            for name in stage.sources:
                if name not in self.sources:
                    raise ValueError(
                        f"data.stages[{index}].sources.{name} is none of data.sources "
                        f"({', '.join(self.sources) or 'empty'}); declare it there"
                    )

    @property
    def lessons(self) -> list[tuple[str, LossConfig]]:
        """(source, what it teaches), each pair once: every source's own loss, in order, then those of the stages."""
        own = [(name, source.policy) for name, source in self.sources.items()]
        of_stages = [(name, self.lesson(name, share)) for stage in self.stages for name, share in stage.sources.items()]
        return own + [pair for index, pair in enumerate(of_stages) if pair not in own + of_stages[:index]]

    def lesson(self, name: str, share: ShareConfig) -> LossConfig:
        """What source `name` teaches where a stage reads `share` of it."""
        source = self.sources[name]
        return source.policy if share.loss is None else dataclasses.replace(source, loss=share.loss).policy

    @property
    def loss_weights(self) -> list[tuple[float, float]]:
        """(text, speech) weight of the targets of each of the `lessons`, in order."""
        return [(loss.text_weight, loss.speech_weight) for _, loss in self.lessons]
