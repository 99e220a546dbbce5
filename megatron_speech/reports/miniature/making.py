"""Sections on what was made before training: texts and speech, tokenizer, text-to-token model, interleaved data."""

from __future__ import annotations

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


def corpus(run: RunFolder) -> list[str]:
    """Texts, and what was read aloud."""
    facts = run.facts("corpus")
    names = {
        "train": "articles to train on",
        "heldout": "articles held out",
        "geography": "statements about countries",
        "questions": "questions on capitals",
        "cloze": "cloze items",
    }
    rows = [
        [
            names[part],
            facts.show(f"{part}.documents", count),
            facts.show(f"{part}.characters", count),
            facts.show(f"{part}.unspeakable", count),
        ]
        for part in names
    ]
    audio = []
    for part in ("train", "heldout", "human", "questions", "cloze"):
        sound, codes = run.facts(f"audio/{part}"), run.facts(f"codes/{part}")
        audio.append(
            [part, sound.show("utterances", count), sound.show("hours", decimal), codes.show("speech_tokens", count)]
        )
    return [
        "## Corpus and speech",
        "",
        *prose("""Texts are leads of Wikipedia articles and plain statements about countries. Half of the capitals
        are stated in writing only: those statements may never become speech."""),
        *table(["texts", "documents", "characters", "never to be spoken"], rows),
        *table(["speech", "utterances", "hours", "speech tokens"], audio),
    ]


def _mean_span(facts: Facts) -> str:
    words, spans = facts.get("words_drawn"), facts.get("spans")
    return decimal(words / spans) if words and spans else NOT_REPORTED


def _mean_plotted(lengths: Facts) -> str:
    words, spans = lengths.get("words") or [], lengths.get("spans") or []
    total = sum(spans)
    return decimal(sum(a * b for a, b in zip(words, spans, strict=True)) / total) if total else NOT_REPORTED


def speech_tokenizer(run: RunFolder) -> list[str]:
    """Word errors with and without the bottleneck, and how the codebook is used."""
    facts = run.facts("tokenizer_report")
    lines = [
        "## Speech tokenizer",
        "",
        *prose(f"""Whisper's encoder with average pooling to 12.5 Hz and {facts.show("codebook_size", count)} codes
        in its middle, trained through recognition. What do words lose on the way?"""),
        *table(["speech, and who reads it", "word error rate", "character error rate", "words"], _error_rows(facts)),
    ]
    train = run.facts("codes/train")
    usage = train.get("code_counts")
    if usage:
        plots.plot_codebook(run.folder / "codebook.png", usage)
        lines += [
            f"Codes used in the training speech: {train.show('codes_used', count)}; perplexity (codes of even use that "
            f"would carry as much): {train.show('perplexity', count)}.",
            "",
            "![How often each code is used](codebook.png)",
            "",
        ]
    return lines


def _error_rows(facts: Facts) -> list[list[str]]:
    """One row per set of recordings and reader."""
    readings = {name: Facts(rates) for name, rates in (facts.get("error_rates") or {}).items()}
    rows = [
        [name, rates.show("wer", percent), rates.show("cer", percent), rates.show("words", count)]
        for name, rates in readings.items()
    ]
    return rows or [["all", *[NOT_REPORTED] * 3]]


def text_to_token(run: RunFolder) -> list[str]:
    """Size, last loss, round trip."""
    metrics, trip = run.lines("t2t/run/metrics.jsonl"), run.facts("t2t/round_trip")
    export = run.facts("t2t/hf")
    last = metrics[-1] if metrics else {}
    return [
        "## Text to tokens",
        "",
        *prose("""A small decoder writes speech tokens for text. Round trip: held-out text is synthesised, and the
        tokenizer's own recogniser reads the tokens back."""),
        *table(
            ["quantity", "value"],
            [
                ["parameters", export.show("parameters", count)],
                ["training steps", count(last["step"]) if last else NOT_REPORTED],
                ["loss on speech tokens, first step", mean_loss(metrics[:1])],
                ["loss on speech tokens, last tenth", mean_loss(metrics[-max(1, len(metrics) // 10) :])],
                ["round trip, word error rate", trip.show("wer", percent)],
                ["the same, texts given up counted as silence", trip.show("wer_with_failures", percent)],
                ["round trip, character error rate", trip.show("cer", percent)],
                [
                    "the same texts, codes of true speech read back, word error rate",
                    trip.show("wer_true_codes", percent),
                ],
                ["texts given up", trip.show("failures", count)],
            ],
        ),
    ]


def _noise(facts: Facts) -> str:
    return interval(facts.at("noise.wer").values) if facts.get("noise.wer") else NOT_REPORTED


def interleaving(run: RunFolder) -> list[str]:
    """Achieved ratio, growth, span lengths against their distribution."""
    facts = run.facts("documents/interleaved")
    lines = [
        "## Interleaved data",
        "",
        *prose("""Span lengths are drawn from Poisson(10) until 0.3 of a document's words are covered, placed
        without touching, and replaced by synthetic speech tokens."""),
        *table(
            ["quantity", "value"],
            [
                ["documents", facts.show("documents", count)],
                [
                    "documents left out: not to be spoken",
                    facts.show("documents_not_speakable", count),
                ],
                ["text tokens", facts.show("text_tokens", count)],
                ["speech tokens", facts.show("speech_tokens", count)],
                ["share of words drawn", facts.show("ratio_drawn", percent)],
                ["share of words spoken", facts.show("ratio_spoken", percent)],
                ["spans", facts.show("spans", count)],
                ["spans whose synthesis failed", facts.show("spans_failed", count)],
                ["speech tokens per replaced text token", facts.show("speech_tokens_per_replaced_text_id", decimal)],
                ["word error rate of the synthetic speech, a sample read back", _noise(facts)],
            ],
        ),
    ]
    lengths = facts.at("span_lengths")
    if lengths:
        plots.plot_spans(run.folder / "spans.png", **lengths.values)
        lines += [
            *prose(f"""In short documents one span may fill the share, and is cut to it; others may be cut around what
            cannot be spoken. The plot leaves out the {facts.show("spans_cut_or_short", count)} spans of such documents.
            Over all spans the mean length is {_mean_span(facts)} words, in the plot {_mean_plotted(lengths)}."""),
            "![Span lengths beside Poisson(10)](spans.png)",
            "",
        ]
    return lines
