"""Sections on results: training losses, evaluation before and after training, samples, decoded speech."""

from __future__ import annotations

from collections.abc import Mapping

import yaml

from megatron_speech.artifacts.facts.checkpoint import ImportFacts
from megatron_speech.artifacts.facts.estimate import EstimateFacts
from megatron_speech.artifacts.facts.evaluation import (
    ClozeFacts,
    DecodedSpeechFacts,
    EvaluationFacts,
    GeoQaFacts,
    HeldOutFacts,
    LossFacts,
    SamplesFacts,
)
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
    interval,
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


def evaluation(run: RunFolder) -> list[str]:
    """The section on cloze tasks, GeoQA and held-out loss, before and after training."""
    before, after = (run.facts(f"evaluation/{when}", EvaluationFacts) for when in ("before", "after"))
    lines = [
        "## Evaluation, before and after",
        "",
        *prose("""Cloze tasks compare the likelihood of the true last sentence of a held-out article with that of
        another one, from an article of another topic (WikiTopicCloze) or of the same topic (WikiSameTopicCloze).
        Context and ending are written or spoken. Brackets are 95 % bootstrap intervals over items; Wilson's, where all
        items agree. The numbers cannot be compared with those of StoryCloze."""),
    ]
    if not before and not after:
        return [*lines, "Not run.", ""]
    cloze = [facts.cloze if facts else None for facts in (before, after)]
    geo_qa = [facts.geo_qa if facts else None for facts in (before, after)]
    held_out = [facts.held_out if facts else {} for facts in (before, after)]
    return [*lines, *_cloze(run, *cloze), *_geo_qa(run, *geo_qa), *_held_out(*held_out)]


def _cloze(run: RunFolder, before: ClozeFacts | None, after: ClozeFacts | None) -> list[str]:
    tasks = {
        "WikiTopicCloze": (before.topic if before else {}, after.topic if after else {}),
        "WikiSameTopicCloze": (before.same_topic if before else {}, after.same_topic if after else {}),
    }
    if not any(results for pair in tasks.values() for results in pair):
        return [f"Cloze: {NOT_REPORTED}.", ""]
    plots.plot_accuracy(run.folder / "accuracy.png", tasks, chance=0.5)
    rows = [
        [
            task,
            pair.replace("->", " to "),
            shown(old.get(pair), interval),
            shown(new.get(pair), interval),
            _items(new or old, pair),
        ]
        for task, (old, new) in tasks.items()
        for pair in plots.PAIRS
    ]
    return [
        "![Accuracy in the four modality pairs](accuracy.png)",
        "",
        *table(["task", "context to ending", "before", "after", "items"], rows),
    ]


def _geo_qa(run: RunFolder, before: GeoQaFacts | None, after: GeoQaFacts | None) -> list[str]:
    lines = [
        "### GeoQA",
        "",
        *prose("""Which of four capitals of a region belongs to a country? Questions are written or spoken, answers
        written. For half of the countries, training speech contains the country's name but never its capital. A right
        answer to a spoken question about them shows knowledge that crossed over from text. Chance is 25 %."""),
    ]
    if not before and not after:
        return [*lines, f"GeoQA: {NOT_REPORTED}.", ""]
    old, new = _by_pair(before), _by_pair(after)
    plots.plot_geo_qa(run.folder / "geo_qa.png", old, new, chance=0.25)
    rows = [
        [
            {"text->text": "written", "speech->text": "spoken"}[pair],
            {"spoken": "spoken and written", "written_only": "only written"}[group],
            shown(old[pair].get(group), interval),
            shown(new[pair].get(group), interval),
            _items(new[pair] or old[pair], group),
        ]
        for group in ("spoken", "written_only")
        for pair in ("text->text", "speech->text")
    ]
    header = ["question", "capital in training", "before", "after", "countries"]
    return [*lines, "![GeoQA by question and group](geo_qa.png)", "", *table(header, rows)]


def _by_pair(facts: GeoQaFacts | None) -> dict[str, dict[str, EstimateFacts]]:
    """Accuracies by modality pair and group; empty without facts."""
    asked = (facts.asked_in_writing, facts.asked_aloud) if facts else ({}, {})
    return dict(zip(("text->text", "speech->text"), asked, strict=True))


def _held_out(before: dict[str, HeldOutFacts], after: dict[str, HeldOutFacts]) -> list[str]:
    rows = []
    for source in dict.fromkeys([*before, *after]):
        found = [facts.get(source) for facts in (before, after)]
        for modality in ("text", "speech"):
            losses: list[LossFacts | None] = [getattr(each, modality) if each else None for each in found]
            if any(losses):
                rows.append([source, modality, *(shown(loss.value if loss else None, decimal) for loss in losses)])
    if not rows:
        return []
    return ["### Held-out loss, nats per token", "", *table(["source", "targets", "before", "after"], rows)]


def _items(estimates: Mapping[str, EstimateFacts], key: str) -> str:
    return count(estimates[key].items) if key in estimates else NOT_REPORTED


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
