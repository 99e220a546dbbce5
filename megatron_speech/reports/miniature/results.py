"""Sections on what came out: training losses, evaluation before and after, speech that can be heard."""

from __future__ import annotations

from typing import Any

import yaml

from megatron_speech.artifacts.files import read_json
from megatron_speech.reports import plots
from megatron_speech.reports.facts import (
    NOT_REPORTED,
    Facts,
    RunFolder,
    count,
    decimal,
    interval,
    mean_loss,
    percent,
    prose,
    table,
)


def pretraining(run: RunFolder) -> list[str]:
    """Losses by modality and source, and where the run was taken up again."""
    metrics, base = run.lines("pretrain/metrics.jsonl"), run.facts("base")
    lines = ["## Pre-training", ""]
    if not metrics:
        return [*lines, "Not run.", ""]
    resumed, last = run.resumed_at("pretrain"), metrics[-1]
    tenth = max(1, len(metrics) // 10)
    rows = [
        [source, modality, mean_loss(metrics[:tenth], modality, source), mean_loss(metrics[-tenth:], modality, source)]
        for source in sorted({source for line in metrics for source in line["losses"]})
        for modality in ("text", "speech")
        if any(modality in line["losses"].get(source, {}) for line in metrics)
    ]
    where = " and ".join(f"after step {step}" for step in resumed)
    again = f"It was stopped and taken up again in another parallel layout {where}." if resumed else ""
    plots.plot_losses(
        run.folder / "losses.png", metrics, resumed_at=resumed, validation=_optional(run, "pretrain/validation.jsonl")
    )
    return [
        *lines,
        *prose(f"""{base.show("parameters", count)} parameters, {count(last["step"])} steps,
        {count(last["tokens"]["text"])} text and {count(last["tokens"]["speech"])} speech targets. {_start(run)}
        {again}"""),
        "![Losses by modality](losses.png)",
        "",
        *prose("""Faint lines are single steps, strong ones their running mean, dots held-out rows at the end. Text
        targets of synthesis are the markers that close speech and document, not words."""),
        *table(["source", "targets", "loss, first tenth", "loss, last tenth"], rows),
        *_tokens_by_source(run),
    ]


def _start(run: RunFolder) -> str:
    """The text model that training started from, as the folder of its weights names it."""
    path = run.folder / "pretrain" / "config.yaml"
    if path.is_file() and yaml.safe_load(path.read_text())["model"]["base"] == "scratch":
        return "It started from random weights."
    model = run.config("base").get("model")
    name = run.facts(model).get("model") if model else None
    return f"It started from {name or model or NOT_REPORTED}."


def _tokens_by_source(run: RunFolder) -> list[str]:
    """What the plan promised and what the ranks counted, by source; nothing for a run that was not finished."""
    path = run.folder / "pretrain" / "done.json"
    sources = read_json(path).get("tokens_by_source", {}) if path.is_file() else {}
    if not sources:
        return []
    total = sum(source["read"] for source in sources.values())
    rows = [
        [name, count(source["planned"]), count(source["read"]), percent(source["read"] / max(1, total))]
        for name, source in sources.items()
    ]
    return [
        *prose("""Tokens by source (rows times their length): planned before the run, and counted where rows were handed
        to the model."""),
        *table(["source", "planned", "read", "share of what was read"], rows),
    ]


def _optional(run: RunFolder, file: str) -> list[dict[str, Any]]:
    return run.lines(file) if (run.folder / file).is_file() else []


def evaluation(run: RunFolder) -> list[str]:
    """Cloze in four modality pairs, questions on capitals, held-out loss; before beside after."""
    before, after = run.facts("evaluation/before"), run.facts("evaluation/after")
    lines = [
        "## Evaluation, before and after",
        "",
        *prose("""Likelihood decides: the true last sentence of a held-out article against one from any other
        article (WikiTopicCloze) or from one of the same topic (WikiSameTopicCloze), each part written or spoken.
        Brackets are 95 % bootstrap intervals over items. These sets are not StoryCloze; their numbers compare with
        each other only."""),
    ]
    if not before and not after:
        return [*lines, "Not run.", ""]
    return [*lines, *_cloze(run, before, after), *_geo_qa(run, before, after), *_held_out(before, after)]


def _cloze(run: RunFolder, before: Facts, after: Facts) -> list[str]:
    tasks = {
        task: (before.get(f"cloze.{task}") or {}, after.get(f"cloze.{task}") or {})
        for task in ("WikiTopicCloze", "WikiSameTopicCloze")
    }
    if not any(results for pair in tasks.values() for results in pair):
        return [f"Cloze: {NOT_REPORTED}.", ""]
    plots.plot_accuracy(run.folder / "accuracy.png", tasks, chance=0.5)
    rows = [
        [task, pair.replace("->", " to "), _estimate(old, pair), _estimate(new, pair), _items(new or old, pair)]
        for task, (old, new) in tasks.items()
        for pair in plots.PAIRS
    ]
    return [
        "![Accuracy in the four modality pairs](accuracy.png)",
        "",
        *table(["task", "context to ending", "before", "after", "items"], rows),
    ]


def _geo_qa(run: RunFolder, before: Facts, after: Facts) -> list[str]:
    old, new = before.get("geo_qa") or {}, after.get("geo_qa") or {}
    lines = [
        "### GeoQA",
        "",
        *prose("""Which of four capitals of the same region? Asked in writing and aloud, answered in writing. The
        capitals of half of the countries are never spoken in training, though the countries' names are: a spoken
        question about those can only be answered by knowledge that crossed over from text. Chance is 25 %."""),
    ]
    if not old and not new:
        return [*lines, f"GeoQA: {NOT_REPORTED}.", ""]
    plots.plot_geo_qa(run.folder / "geo_qa.png", old, new, chance=0.25)
    rows = [
        [
            {"text->text": "written", "speech->text": "spoken"}[pair],
            {"spoken": "heard and written", "written_only": "only ever written"}[group],
            _estimate(old.get(pair, {}), group),
            _estimate(new.get(pair, {}), group),
            _items(new.get(pair, {}) or old.get(pair, {}), group),
        ]
        for group in ("spoken", "written_only")
        for pair in ("text->text", "speech->text")
    ]
    header = ["question", "the capital was", "before", "after", "countries"]
    return [*lines, "![GeoQA by question and group](geo_qa.png)", "", *table(header, rows)]


def _held_out(before: Facts, after: Facts) -> list[str]:
    sources = list(dict.fromkeys([*(before.get("held_out") or {}), *(after.get("held_out") or {})]))
    rows = [
        [source, modality, *(facts.show(f"held_out.{source}.{modality}.value", decimal) for facts in (before, after))]
        for source in sources
        for modality in ("text", "speech")
        if any(facts.get(f"held_out.{source}.{modality}") for facts in (before, after))
    ]
    if not rows:
        return []
    return ["### Held-out loss, nats per token", "", *table(["source", "targets", "before", "after"], rows)]


def _estimate(estimates: dict[str, Any], key: str) -> str:
    return interval(estimates[key]) if estimates.get(key) else NOT_REPORTED


def _items(estimates: dict[str, Any], key: str) -> str:
    return count(estimates[key]["items"]) if estimates.get(key) else NOT_REPORTED


def speech_decoder(run: RunFolder) -> list[str]:
    """The token-to-mel network's loss, and what two judges heard."""
    net, heard = run.facts("speech_decoder"), run.facts("wav")
    lines = [
        "## Speech decoder",
        "",
        *prose(f"""Tokens to mel spectrogram by one L1-trained network, mel to waveform by HiFi-GAN. L1 gives the
        median of everything the tokens leave open, pitch above all, so expect a muffled voice.
        {net.show("parameters", count)} parameters, {net.show("steps", count)} steps on {net.show("hours", decimal)}
        hours of one voice; held-out mel error {net.show("heldout_l1", decimal)} nats, untrained
        {net.show("heldout_l1_untrained", decimal)}."""),
    ]
    if heard.get("vocoder") == "absent":
        return [*lines, "The vocoder's weights were not installed: no WAV was made, nothing was judged.", ""]
    rows = [
        [
            label,
            heard.show(f"{name}.wer", percent),
            heard.show(f"{name}.cer", percent),
            heard.show(f"{name}.dnsmos", lambda score: f"{score:.2f}"),
        ]
        for name, label in (("original", "original"), ("resynthesis", "through tokens and back"))
    ]
    files = sorted(path.name for path in (run.folder / "wav").glob("*.wav"))
    return [
        *lines,
        *table(["held-out speech", "word error rate", "character error rate", "DNSMOS (1 to 5)"], rows),
        f"{heard.show('utterances', count)} utterances, heard by {heard.show('recognizer')}. Listen:",
        "",
        *(f"- [{name}](wav/{name})" for name in files),
        "",
    ]


def samples(run: RunFolder) -> list[str]:
    """What the trained model wrote after hearing a held-out sentence; text is quoted as it came."""
    spoken = run.facts("sample").get("samples")
    if not spoken:
        return []
    wanted = {
        "spoken": "it heard",
        "recognition": "asked what was said",
        "continuation": "asked to go on",
        "spoken_text_as_heard": "asked to say it: as the recogniser hears it",
    }
    rows = [[_quote(sample.get(key)) for key in wanted] for sample in spoken]
    return [
        "## What it says",
        "",
        "A sample proves nothing and is worth reading all the same.",
        "",
        *table(list(wanted.values()), rows),
    ]


def _quote(text: str | None) -> str:
    """One table cell of what a model wrote: any bytes, so no line breaks, no bars, no markup."""
    if text is None:
        return NOT_REPORTED
    return "`" + " ".join(text.replace("`", "'").replace("|", "/").split())[:160] + "`" if text.strip() else "(nothing)"
