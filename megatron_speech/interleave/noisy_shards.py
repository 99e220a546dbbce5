"""Quarantines shards with too noisy or unmeasured speech: joins them into a folder that readers of the output skip.

    <output>/quarantine         their documents
    <output>/quarantine.jsonl   one line per shard: its counts, word error rate, and number of sampled spans

The join decides, by the noise sample of each shard, so another limit needs no new synthesis. Limitation: a shard is
quarantined as a whole, with its good documents.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import orjson

from megatron_speech.artifacts.facts.interleaved import InterleavedShardFacts, QuarantineFacts
from megatron_speech.config.stages.build_interleaved import BuildInterleavedConfig, NoiseConfig
from megatron_speech.data.shards.join import join_documents
from megatron_speech.interleave.noise import Rows, shard_rate

QUARANTINE = "quarantine"
"""Name of the folder of noisy shards, and of their list (.jsonl)."""
HELD = ("documents", "text_tokens", "speech_tokens")
"""Facts that are listed and summed over noisy shards."""


def noisy_shards(config: BuildInterleavedConfig, rows: Sequence[Rows], spans: Sequence[int]) -> list[bool]:
    """Whether each shard is noisy: its word error rate exceeds `noise.max_wer` or, despite spans, is unknown.

    `rows` holds the noise sample of each shard, `spans` its number of spoken spans. Raises ValueError if all shards are
    noisy, or more than one and more than `noise.max_quarantined_share`.
    """
    noise = config.noise
    if noise is None or noise.max_wer is None:
        return [False] * len(rows)
    rates = [shard_rate(shard) for shard in rows]
    noisy = [bool(count) and (rate is None or rate > noise.max_wer) for rate, count in zip(rates, spans, strict=True)]
    if any(noisy) and (all(noisy) or sum(noisy) > max(1, noise.max_quarantined_share * len(noisy))):
        raise _too_many(noise, sum(noisy), rates, config.output)
    return noisy


def quarantined(facts: Sequence[InterleavedShardFacts], noisy: Sequence[bool]) -> QuarantineFacts:
    """Sum the counts of the noisy shards; `facts` are those of all shards."""
    held = {name: sum(getattr(fact, name) for fact, bad in zip(facts, noisy, strict=True) if bad) for name in HELD}
    return QuarantineFacts(shards=sum(noisy), **held)


def set_aside(
    folder: Path,
    shards: Sequence[Path],
    facts: Sequence[InterleavedShardFacts],
    rows: Sequence[Rows],
    noisy: Sequence[bool],
) -> None:
    """Join the noisy ones of `shards` into ``<folder>/quarantine``, and list them in ``quarantine.jsonl``."""
    if any(noisy):
        (folder / QUARANTINE).mkdir(exist_ok=True)
        join_documents(folder / QUARANTINE, [shard for shard, bad in zip(shards, noisy, strict=True) if bad])
    with (folder / f"{QUARANTINE}.jsonl").open("wb") as file:
        for shard, fact, read, bad in zip(shards, facts, rows, noisy, strict=True):
            if bad:
                held = {name: getattr(fact, name) for name in HELD}
                line = {"shard": shard.name, **held, "wer": shard_rate(read), "spans": len(read)}
                file.write(orjson.dumps(line) + b"\n")


def _too_many(noise: NoiseConfig, count: int, rates: Sequence[float | None], output: Path) -> ValueError:
    measured = sorted(rate for rate in rates if rate is not None)
    median = f"median {measured[len(measured) // 2]:.3f}" if measured else "none could be measured"
    return ValueError(
        f"{count} of {len(rates)} shards have a word error rate above noise.max_wer={noise.max_wer:g} or none that "
        f"could be measured ({median}), more than noise.max_quarantined_share={noise.max_quarantined_share:g}; listen "
        f"to the text-to-token model, or raise a limit and join again ({output}.tasks is kept: --run.part finish)"
    )
