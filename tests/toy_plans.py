"""Stages and plans over imaginary sources, which have numbers of rows but no shards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from megatron_speech.config.run.data import DataConfig, ShareConfig, SourceConfig, StageConfig
from megatron_speech.data.plan.mixture import SourceFacts, plan_of
from megatron_speech.data.plan.plan import Plan

SEQ_LENGTH = 16


ROWS = {"text": 1000, "speech": 50, "paired": 7}


def planned(*stages: StageConfig, rows: dict[str, int] = ROWS, seed: int = 0, **sources: Any) -> Plan:
    """A plan over imaginary sources with `rows` rows; `sources` holds further settings of some sources."""
    declared = {
        name: SourceConfig(folder=Path(name), task="text", **sources.get(name, {})) for name in [*rows, *sources]
    }
    config = DataConfig(seq_length=SEQ_LENGTH, sources=declared, stages=list(stages), seed=seed)
    facts = {name: SourceFacts(rows=count, text_share=1.0, checksum=name) for name, count in rows.items()}
    return plan_of(config, facts, vocabulary="v")


def stage(tokens: int | None = None, *, stop_at_sample: int | None = None, **shares: dict[str, Any]) -> StageConfig:
    """A stage; `shares` holds settings of `ShareConfig` by source."""
    sources = {name: ShareConfig(**share) for name, share in shares.items()}
    return StageConfig(tokens=tokens, sources=sources, stop_at_sample=stop_at_sample)
