"""Compares runs that differ only in number format: losses by modality, and errors of gradients.

All runs read the same rows in the same order, from the same initial weights. Losses are therefore compared step by
step, without the noise between batches. The difference between float32 and bfloat16 shows how far two sound formats
drift apart. Limitation: there is one run per format, so there are no intervals.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import yaml

from megatron_speech.artifacts.facts.checkpoint import GradientErrorFacts
from megatron_speech.artifacts.facts.training import FinishedRun, MetricsRecord
from megatron_speech.artifacts.files import read_json, write_atomic
from megatron_speech.config.reports.precision_report import PrecisionReportConfig
from megatron_speech.reports import plots
from megatron_speech.reports.facts import RunFolder, count, decimal, prose, shown, table

logger = logging.getLogger(__name__)

MODALITIES = ("text", "speech")
LEARNING = ("model", "data", "optimizer", "train")
NOT_LEARNING = ("data.reader", "train.stop_at_step")
PARTS = ("speech rows", "text rows", "layers")


def precision_report(config: PrecisionReportConfig) -> None:
    """Write report.md and precision.png into `config.folder`.

    Raises FileNotFoundError for an unfinished run, ValueError for one that differs in more than precision.
    """
    # Check that the runs can be compared.
    folder = RunFolder(config.folder)
    runs = {name: _finished(folder, name) for name in config.runs}
    for name, done in runs.items():
        _require_same_rows(name, done, runs[config.baseline])
        _require_alike(config.folder, name, config.baseline)
    if config.last_steps > (steps := runs[config.baseline].steps):
        raise ValueError(f"last_steps={config.last_steps} is more than the {steps} steps of the runs; lower it")
    # Draw the figure and write the page.
    metrics = {name: folder.records(f"{name}/metrics.jsonl", MetricsRecord) for name in config.runs}
    errors = folder.facts(str(config.gradients), GradientErrorFacts)
    differences = {
        name: {modality: _differences(lines, metrics[config.baseline], modality) for modality in MODALITIES}
        for name, lines in metrics.items()
    }
    plots.plot_precision(
        config.folder / "precision.png", differences, baseline=config.baseline, errors=errors.errors if errors else {}
    )
    lines = [
        "# Number formats, side by side",
        "",
        *_opening(runs[config.baseline], errors),
        "![Loss differences and gradient errors](precision.png)",
        "",
        *_losses(config, runs, metrics),
        *_gradients(errors),
    ]
    write_atomic(config.folder / "report.md", "\n".join(lines).rstrip() + "\n")
    logger.info("%s: written", config.folder / "report.md")


def _finished(folder: RunFolder, name: str) -> FinishedRun:
    path = folder.folder / name / "done.json"
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist: run {name} is not finished; finish it or leave it out of runs")
    try:
        return FinishedRun.from_json(read_json(path))
    except ValueError as error:
        raise ValueError(f"{path}: {error}; finish run {name} again, or leave it out of runs") from error


def _require_same_rows(name: str, done: FinishedRun, baseline: FinishedRun) -> None:
    if (done.plan, done.steps) != (baseline.plan, baseline.steps):
        raise ValueError(
            f"run {name}: plan {done.plan[:12]} and {done.steps} steps, but the baseline has "
            f"{baseline.plan[:12]} and {baseline.steps}; train all runs on the same rows"
        )


def _require_alike(folder: Path, name: str, baseline: str) -> None:
    """Raises ValueError unless model, data, optimizer and budget of both runs are equal; reader settings may differ."""
    ours, theirs = (_learning(folder / each / "config.yaml") for each in (name, baseline))
    for key in theirs | ours:
        if ours.get(key) != theirs.get(key):
            raise ValueError(
                f"run {name}: {key}={ours.get(key)}, but {theirs.get(key)} in the baseline {baseline}; compare runs "
                "that differ in precision alone"
            )


def _learning(path: Path) -> dict[str, Any]:
    """Settings of a run that decide what it learns, by dotted key. Raises FileNotFoundError without the file."""
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist: restore the run's configuration, or leave the run out of runs")
    sections = yaml.safe_load(path.read_text())
    found = {f"{section}.{key}": value for section in LEARNING for key, value in sections.get(section, {}).items()}
    return {key: value for key, value in found.items() if key not in NOT_LEARNING}


def _opening(baseline: FinishedRun, errors: GradientErrorFacts | None) -> list[str]:
    tokens = baseline.tokens
    return prose(f"""{count(baseline.steps)} steps on {count(tokens["text"])} text and {count(tokens["speech"])}
    speech targets; all runs start from the same weights and read the same rows in the same order. FP8 applies to the
    matrix products of the layers only: embedding and output head, and with them the speech rows, keep the run's dtype.
    Gradients are compared with those in float32, at step {shown(errors.step if errors else None)} of one run, over
    {shown(errors.targets if errors else None, count)} targets.""")


def _differences(lines: list[MetricsRecord], baseline: list[MetricsRecord], modality: str) -> list[tuple[int, float]]:
    """(step, loss minus baseline's) of every step that has targets of the modality in both runs."""
    theirs = {line.step: line.loss_by_modality.get(modality) for line in baseline}
    pairs = [(line.step, line.loss_by_modality.get(modality), theirs.get(line.step)) for line in lines]
    return [(step, ours - other) for step, ours, other in pairs if ours is not None and other is not None]


def _losses(
    config: PrecisionReportConfig, runs: dict[str, FinishedRun], metrics: dict[str, list[MetricsRecord]]
) -> list[str]:
    header = ["precision", *(f"{modality}, {what}" for modality in MODALITIES for what in ("training", "held out"))]
    last, rows = config.last_steps, []
    for name in config.runs:
        row = [f"**{name}**" if name == config.baseline else name]
        for modality in MODALITIES:
            for values in (_trained(metrics, last, modality), _held_out(runs, modality)):
                row.append(_beside(values[name], values[config.baseline], is_baseline=name == config.baseline))
        rows.append([*row, shown(runs[name].tokens_per_s, count)])
    return [
        "## Losses",
        "",
        *prose(f"""Losses in nats per target: of {config.baseline}, then differences of the other runs to it. Training:
        mean over the last {last} steps. Held out: mean over all held-out sources, after the last step. The speed of an
        emulated format does not predict its speed on a GPU."""),
        *table([*header, "tokens/s"], rows),
    ]


def _trained(metrics: dict[str, list[MetricsRecord]], last: int, modality: str) -> dict[str, float | None]:
    found = {}
    for name, lines in metrics.items():
        values = [line.loss_by_modality[modality] for line in lines[-last:] if modality in line.loss_by_modality]
        found[name] = sum(values) / len(values) if values else None
    return found


def _held_out(runs: dict[str, FinishedRun], modality: str) -> dict[str, float | None]:
    """Loss by run: mean over the held-out sources with targets of the modality; None without such a source."""
    found = {}
    for name, done in runs.items():
        values = [losses[modality] for losses in done.validation.values() if modality in losses]
        found[name] = sum(values) / len(values) if values else None
    return found


def _beside(value: float | None, baseline: float | None, *, is_baseline: bool) -> str:
    if value is None or baseline is None:
        return "no targets"
    return decimal(value) if is_baseline else f"{value - baseline:+.4f}"


def _gradients(errors: GradientErrorFacts | None) -> list[str]:
    lines = ["## Gradients", ""]
    if not errors:
        return [*lines, "Not measured.", ""]
    rows = [
        [name, *(f"{by_part[part].relative_error:.2%} / {by_part[part].cosine:.5f}" for part in PARTS)]
        for name, by_part in errors.errors.items()
    ]
    return [
        *lines,
        *prose("Norm of the error relative to the norm of the float32 gradient / cosine similarity of both gradients."),
        *table(["precision", *PARTS], rows),
    ]
