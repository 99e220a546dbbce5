"""Turns a configured mixture into a plan: whole rows of every source in every stage, or a one-line error.

Exact requests (epochs, tokens, shares) are served first; weights and the remainder divide the rest. All of it is
integer arithmetic on the sources' row counts, so a mixture can be planned before its data exist. Limitation: budgets
are whole rows, so a stage of a few rows only approximates its shares.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from megatron_speech.config.run.data import DataConfig, ShareConfig, SourceConfig, StageConfig
from megatron_speech.config.run.reader import is_url
from megatron_speech.data.plan.contents import require_contents
from megatron_speech.data.plan.order import MAX_SAMPLES, largest_remainder
from megatron_speech.data.plan.plan import Plan, PlannedSource, PlannedStage
from megatron_speech.data.plan.table import decimal, require_epochs
from megatron_speech.data.shards.damage import against_manifest
from megatron_speech.data.shards.index import FolderIndex
from megatron_speech.data.shards.sidecar import sidecar
from megatron_speech.storage.place import local_folder
from megatron_speech.vocabulary import Vocabulary


@dataclass(frozen=True, kw_only=True)
class SourceFacts:
    """What planning needs to know about a source."""

    rows: int
    """Number of rows."""
    text_share: float
    """Share of text among all labels, without padding."""
    checksum: str
    """Identity of the shards; empty if only sizes are known and nothing can be read."""

    @classmethod
    def of_folder(cls, index: FolderIndex) -> SourceFacts:
        """Facts of a folder of packed shards."""
        labels = max(1, index.text_tokens + index.speech_tokens)
        return cls(rows=index.items, text_share=index.text_tokens / labels, checksum=index.checksum)


def compile_plan(
    config: DataConfig,
    *,
    vocabulary: Vocabulary,
    num_samples: int | None = None,
    section: Literal["data.sources", "data.validation"] = "data.sources",
) -> Plan:
    """Plan `config` over its folders; errors name a source by its path in `section`.

    Args:
        num_samples: rows to read if `config` has no stages.

    Raises:
        FileNotFoundError: a source's folder holds no packed shards.
        ValueError: a source has another vocabulary or seq_length, or would be read more often than its max_epochs.
    """
    facts = {
        name: SourceFacts.of_folder(source_index(source, config, vocabulary, key=f"{section}.{name}"))
        for name, source in config.sources.items()
    }
    plan = plan_of(config, facts, vocabulary=vocabulary.fingerprint, num_samples=num_samples)
    require_epochs(plan, section)
    return plan


def plan_of(
    config: DataConfig, facts: Mapping[str, SourceFacts], *, vocabulary: str, num_samples: int | None = None
) -> Plan:
    """Plan `config` over sources with the given `facts`; ValueError if that is impossible. Ignores max_epochs."""
    lessons = config.lessons  # every (source, loss) pair once; stages refer to them by index
    sources = [
        PlannedSource(
            name=name,
            folder=config.sources[name].folder,
            max_epochs=config.sources[name].max_epochs,
            loss=loss,
            **asdict(facts[name]),
        )
        for name, loss in lessons
    ]
    rows = {name: entry.rows for name, entry in facts.items()}
    for name in config.sources:
        if not rows[name]:
            raise ValueError(f"data: source {name} has no rows; pack it again or leave it out")
    stages: list[PlannedStage] = []  # divide each stage's tokens among its sources, and check where it ends
    for number, stage in enumerate(_stages(config, num_samples)):
        key = f"data.stages[{number}]" if config.stages else "train"
        budgets = stage_budgets(stage, rows, seq_length=config.seq_length, key=key)
        first = sum(before.samples for before in stages)
        stop = stage.stop_at_sample
        if stop is not None and stop <= first:
            raise ValueError(f"{key}.stop_at_sample={stop} must lie behind the stage's first sample {first}; raise it")
        budget = sum(budgets.values())
        if stop is not None and stop > first + budget:
            raise ValueError(
                f"{key}.stop_at_sample={stop} lies behind the stage's last sample {first + budget}; lower it, "
                "or leave it out"
            )
        if first + budget > MAX_SAMPLES:
            raise ValueError(
                f"{key}: the run would have {first + budget:,} rows, above the order's {MAX_SAMPLES:,}; pack longer "
                "rows or lower the tokens"
            )
        samples = budget if stop is None else min(budget, stop - first)
        by_lesson = {
            lessons.index((name, config.lesson(name, share))): budgets[name] for name, share in stage.sources.items()
        }
        stages.append(PlannedStage(name=stage.name, budgets=by_lesson, samples=samples))
    return Plan(
        sources=tuple(sources),
        stages=tuple(stages),
        seq_length=config.seq_length,
        seed=config.seed,
        vocabulary=vocabulary,
    )


def stage_budgets(stage: StageConfig, rows: Mapping[str, int], *, seq_length: int, key: str) -> dict[str, int]:
    """Rows to read of each source of `stage`, in its order; they add up to the stage's `tokens` if given.

    Exact epochs, tokens and shares are served first; the rest goes to the remainder, or is divided by weight.

    Args:
        rows: number of rows of each source.
        key: path of the stage in the configuration, for errors.

    Raises:
        ValueError: the shares ask for more rows than the stage has, or for none.
    """
    # Serve exact requests.
    total = 0 if stage.tokens is None else -(-stage.tokens // seq_length)
    fixed = {
        name: _fixed_rows(share, rows[name], total, seq_length=seq_length)
        for name, share in stage.sources.items()
        if not share.takes_what_is_left
    }
    # Divide what is left by weight; a remainder is a single weight.
    flexible = {name: share for name, share in stage.sources.items() if share.takes_what_is_left}
    left = total - sum(fixed.values())
    if flexible and left < 0:
        asked = ", ".join(f"{name} {count:,}" for name, count in fixed.items())
        raise ValueError(
            f"{key}.tokens={stage.tokens} are {total:,} rows, but its sources ask for {-left:,} more ({asked}); raise "
            "tokens or lower a share"
        )
    weights = [1.0 if share.weight is None else share.weight for share in flexible.values()]
    if flexible and left and not any(weights):
        raise ValueError(f"{key}: all weights are 0, and {left:,} rows are left; raise one")
    parts = largest_remainder(weights, left) if any(weights) else [0] * len(weights)
    of_source = fixed | dict(zip(flexible, parts, strict=True))
    budgets = {name: of_source[name] for name in stage.sources}
    if not any(budgets.values()):
        raise ValueError(f"{key} reads no row; raise a share or leave the stage out")
    return budgets


def _fixed_rows(share: ShareConfig, rows: int, total: int, *, seq_length: int) -> int:
    """Rows of a share that does not depend on the others; rounded down for epochs, so that no epoch is exceeded."""
    if share.tokens is not None:
        return -(-share.tokens // seq_length)
    if share.epochs is not None:
        return int(decimal(share.epochs) * rows)
    assert share.share is not None
    return int(decimal(share.share) * total)


def _stages(config: DataConfig, num_samples: int | None) -> list[StageConfig]:
    """The configured stages, or the single stage that source weights and `num_samples` describe."""
    if config.stages:
        return config.stages
    assert num_samples is not None, "a mixture without stages needs its number of rows"
    shares = {name: ShareConfig(weight=source.weight) for name, source in config.sources.items()}
    return [StageConfig(tokens=num_samples * config.seq_length, sources=shares)]


def source_index(source: SourceConfig, config: DataConfig, vocabulary: Vocabulary, *, key: str) -> FolderIndex:
    """Load the index of a source and check it as `_packed_index` does, and its task against its rows."""
    index = _packed_index(source.folder, config, vocabulary, key=f"{key}.folder")
    require_contents(key, source, index, vocabulary)
    return index


def _packed_index(folder: str | Path, config: DataConfig, vocabulary: Vocabulary, *, key: str) -> FolderIndex:
    """Load the index of a folder of packed rows and check it against `config` and `vocabulary`; errors name `key`.

    Raises:
        FileNotFoundError: the folder or one of its shards is missing.
        ValueError: it holds documents, has another vocabulary or seq_length, or its manifest is of other shards.
    """
    try:
        index = FolderIndex.load(local_folder(folder, config.reader))
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{key}={error}") from error  # the message begins with the folder
    _require_files(folder, index, key=key)
    if index.kind != "rows":
        raise ValueError(f"{key}={folder} holds {index.kind}, not packed rows; run megatron-speech pack_shards")
    vocabulary.require(index.vocabulary, holder=f"{key}={folder}")
    if index.seq_length != config.seq_length:
        raise ValueError(
            f"{key}={folder} was packed with seq_length={index.seq_length} where "
            f"data.seq_length={config.seq_length}; pack it again or change data.seq_length"
        )
    return index


def _require_files(folder: str | Path, index: FolderIndex, *, key: str) -> None:
    """Check, before reading starts, that a local folder has all its shards and that its manifest describes them."""
    if is_url(folder):
        return
    here = Path(folder)
    if damage := against_manifest(here, index):
        raise ValueError(f"{key}={damage}; restore what was replaced")
    present = {path.name for path in here.iterdir()}
    lost = [entry.name for entry in index.shards if not {entry.name, sidecar(here, entry.name).name} <= present]
    if lost:
        raise FileNotFoundError(
            f"{key}={here / lost[0]} or its sidecar is missing, {len(lost):,} of {len(index.shards):,} shards are; "
            "restore them"
        )
