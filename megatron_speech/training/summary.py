"""Makes the summary of a finished run for done.json."""

from __future__ import annotations

import statistics

from megatron_speech.artifacts.facts.training import RunSummary, SourceTokens
from megatron_speech.training.history import read_metrics
from megatron_speech.training.loop import Run
from megatron_speech.training.metrics import HeldOut
from megatron_speech.training.state import TrainState


def summarise(run: Run, state: TrainState, held_out: HeldOut) -> RunSummary:
    """Summary of a finished run; a value is None if its line of metrics.jsonl is lost."""
    records = read_metrics(run.config.folder)
    last = records[-1] if records and records[-1]["step"] == state.step else {}
    damage, read = last.get("reading", {}), last.get("rows", {})
    tokens = run.plan.seq_length
    return RunSummary(
        steps=state.step,
        consumed_samples=state.consumed_samples,
        tokens={"text": state.text_tokens, "speech": state.speech_tokens},
        loss=last.get("loss"),
        losses=last.get("losses"),
        validation=held_out.losses,
        validation_targets=held_out.targets,
        validation_rows=held_out.rows,
        tokens_per_s=statistics.median(record["tokens_per_s"] for record in records) if records else None,
        plan=run.plan.fingerprint,
        damage={name: damage.get(name) for name in ("damaged_samples", "damaged_blocks")},
        tokens_by_source={
            name: SourceTokens(planned=rows * tokens, read=read[name] * tokens if name in read else None)
            for name, rows in run.plan.consumed(run.plan.num_samples).items()
        },
    )
