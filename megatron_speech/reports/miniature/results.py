"""Sections on results: training losses, samples, decoded speech."""

from __future__ import annotations

import yaml

from megatron_speech.artifacts.facts.checkpoint import ImportFacts
from megatron_speech.artifacts.facts.evaluation import DecodedSpeechFacts, SamplesFacts
from megatron_speech.artifacts.facts.miniature import AssetFacts
from megatron_speech.artifacts.facts.record import ABSENT, Absent
from megatron_speech.artifacts.facts.speech_tokenizer import SpeechDecoderFacts
from megatron_speech.artifacts.facts.training import HeldOutLosses, MetricsRecord, TokensBySource
from megatron_speech.artifacts.files import read_json
from megatron_speech.reports import plots
from megatron_speech.reports.facts import (
    NOT_REPORTED,
    RunFolder,
    count,
    decimal,
    mean_loss,
    percent,
    prose,
    shown,
    table,
)


def pretraining(run: RunFolder) -> list[str]:
    """The section on pre-training: losses by modality and source, resumed steps; draws losses.png."""
    metrics, base = run.records("pretrain/metrics.jsonl", MetricsRecord), run.facts("base", ImportFacts)
    lines = ["## Pre-training", ""]
    if not metrics:
        return [*lines, "Not run.", ""]
    resumed, last = run.resumed_at("pretrain"), metrics[-1]
    tenth = max(1, len(metrics) // 10)
    rows = [
        [source, modality, mean_loss(metrics[:tenth], modality, source), mean_loss(metrics[-tenth:], modality, source)]
        for source in sorted({source for line in metrics for source in line.losses})
        for modality in ("text", "speech")
        if any(modality in line.losses.get(source, {}) for line in metrics)
    ]
    where = " and ".join(f"after step {step}" for step in resumed)
    again = f"It was stopped and resumed in another parallel layout {where}." if resumed else ""
    plots.plot_losses(
        run.folder / "losses.png", metrics, resumed_at=resumed, validation=_optional(run, "pretrain/validation.jsonl")
    )
    return [
        *lines,
        *prose(f"""{shown(base.parameters if base else None, count)} parameters, {count(last.step)} steps,
        {count(last.tokens["text"])} text and {count(last.tokens["speech"])} speech targets. {_start(run)}
        {again}"""),
        "![Losses by modality](losses.png)",
        "",
        *prose("""Faint lines are single steps, strong lines their running mean, marks held-out rows. The text targets
        of synthesis are the special tokens that end speech and document, not words."""),
        *table(["source", "targets", "loss, first tenth", "loss, last tenth"], rows),
        *_tokens_by_source(run),
    ]


def _start(run: RunFolder) -> str:
    """A sentence that names the model which training started from."""
    path = run.folder / "pretrain" / "config.yaml"
    if path.is_file() and yaml.safe_load(path.read_text())["model"]["base"] == "scratch":
        return "It started from random weights."
    base = run.manifest("base")
    model = base.config.get("model") if base and isinstance(base.config, dict) else None
    asset = run.facts(model, AssetFacts) if model else None
    return f"It started from {(asset.model if asset else None) or model or NOT_REPORTED}."


def _tokens_by_source(run: RunFolder) -> list[str]:
    """A table of tokens by source, planned and read; no lines for an unfinished run."""
    path = run.folder / "pretrain" / "done.json"
    sources = (TokensBySource.from_json(read_json(path)).tokens_by_source if path.is_file() else None) or {}
    if not sources:
        return []
    total = sum(source.read or 0 for source in sources.values())
    rows = [
        [
            name,
            count(source.planned),
            shown(source.read, count),
            NOT_REPORTED if source.read is None else percent(source.read / max(1, total)),
        ]
        for name, source in sources.items()
    ]
    return [
        *prose("""Tokens by source (rows times their length): planned before the run, and counted when rows were given
        to the model."""),
        *table(["source", "planned", "read", "share of tokens read"], rows),
    ]


def _optional(run: RunFolder, file: str) -> list[HeldOutLosses]:
    return run.records(file, HeldOutLosses) if (run.folder / file).is_file() else []


def speech_decoder(run: RunFolder) -> list[str]:
    """The section on the speech decoder: mel errors, and the scores of two judges."""
    net, heard = run.facts("speech_decoder", SpeechDecoderFacts), run.facts("wav", DecodedSpeechFacts)
    lines = [
        "## Speech decoder",
        "",
        *prose(f"""A network trained with L1 loss turns tokens into mel spectrograms, HiFi-GAN turns these into
        waveforms. L1 gives the median over everything that tokens do not determine, above all pitch, so the voice is
        muffled.
        {shown(net.parameters if net else None, count)} parameters, {shown(net.steps if net else None, count)} steps on
        {shown(net.hours if net else None, decimal)} hours of one voice; held-out mel error
        {shown(net.heldout_l1 if net else None, decimal)} nats, untrained
        {shown(net.heldout_l1_untrained if net else None, decimal)}."""),
    ]
    if heard and heard.vocoder == "absent":
        return [*lines, "The vocoder's weights were not installed, so no WAV was made or judged.", ""]
    judged = (heard.original, heard.resynthesis) if heard else (None, None)
    rows = [
        [label, percent(each.wer), percent(each.cer), f"{each.dnsmos:.2f}"] if each else [label, *[NOT_REPORTED] * 3]
        for label, each in zip(("original", "resynthesis from tokens"), judged, strict=True)
    ]
    files = sorted(path.name for path in (run.folder / "wav").glob("*.wav"))
    return [
        *lines,
        *table(["held-out speech", "word error rate", "character error rate", "DNSMOS (1 to 5)"], rows),
        f"{shown(heard.utterances if heard else None, count)} utterances, heard by "
        f"{shown(heard.recognizer if heard else None)}. Listen:",
        "",
        *(f"- [{name}](wav/{name})" for name in files),
        "",
    ]


def samples(run: RunFolder) -> list[str]:
    """The section with samples of the trained model for held-out utterances, quoted verbatim."""
    facts = run.facts("sample", SamplesFacts)
    if not facts or not facts.samples:
        return []
    wanted = {
        "spoken": "utterance",
        "recognition": "recognition",
        "continuation": "continuation",
        "spoken_text_as_heard": "synthesis, as the recogniser hears it",
    }
    rows = [[_quote(getattr(sample, key)) for key in wanted] for sample in facts.samples]
    return [
        "## Samples",
        "",
        "The model recognises an utterance, continues it in text, and synthesises its text.",
        "",
        *table(list(wanted.values()), rows),
    ]


def _quote(text: str | Absent | None) -> str:
    """A table cell with text of a model, without line breaks, bars and markup; at most 160 characters."""
    if text is None or text is ABSENT:
        return NOT_REPORTED
    return "`" + " ".join(text.replace("`", "'").replace("|", "/").split())[:160] + "`" if text.strip() else "(nothing)"
