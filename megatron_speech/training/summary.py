"""Makes the summary of a finished run, for done.json and in a few lines for people."""

from __future__ import annotations

import os
import statistics
from collections.abc import Iterator
from datetime import timedelta

from megatron_speech.artifacts.facts.training import RunSummary, SourceTokens
from megatron_speech.checkpoint.folder import step_folder
from megatron_speech.progress import PART_OF_EXAMPLE
from megatron_speech.training.history import read_metrics
from megatron_speech.training.loop import Run
from megatron_speech.training.metrics import HeldOut, losses_in_words
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


def lines_at_the_end(run: Run, summary: RunSummary, *, seconds: float) -> Iterator[str]:
    """What a person wants to know of a finished run; `seconds` is the time since this start of it."""
    folder = run.config.folder
    tokens = summary.consumed_samples * run.plan.seq_length
    speed = "" if summary.tokens_per_s is None else f", {summary.tokens_per_s:,.0f} tokens/s"
    targets = " and ".join(f"{number:,} {name}" for name, number in summary.tokens.items())
    yield (
        f"done: {summary.steps:,} steps, {tokens:,} tokens ({targets} targets); "
        f"{timedelta(seconds=round(seconds))} since this start{speed}"
    )
    records = read_metrics(folder)
    if records and records[-1]["step"] == summary.steps:
        yield f"loss of the last step: {losses_in_words(records[-1]['loss_by_modality'])}"
    for name, losses in summary.validation.items():
        yield f"held-out loss of {name}: {losses_in_words(losses)}"
    yield f"checkpoint: {step_folder(folder / 'checkpoints', summary.steps)}; all figures: {folder / 'done.json'}"
    if PART_OF_EXAMPLE in os.environ:
        return  # the example goes on by itself
    yield f"next: megatron-speech convert_to_hf --checkpoint {folder} --vocabulary VOCABULARY --output HF_FOLDER"
