"""Sections on the steps before training: texts and speech, tokenizer, text-to-token model, interleaved data."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from megatron_speech.artifacts.facts.audio import AudioFacts
from megatron_speech.artifacts.facts.checkpoint import ExportFacts
from megatron_speech.artifacts.facts.codes import CodesFacts
from megatron_speech.artifacts.facts.estimate import ErrorRatesFacts
from megatron_speech.artifacts.facts.interleaved import InterleavedFacts, SpanLengthsFacts
from megatron_speech.artifacts.facts.miniature import CorpusFacts, TextsFacts
from megatron_speech.artifacts.facts.text_to_token import RoundTripFacts
from megatron_speech.artifacts.facts.tokenizer_report import TokenizerReportFacts
from megatron_speech.artifacts.facts.training import MetricsRecord
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


def corpus(run: RunFolder) -> list[str]:
    """The section on texts and speech."""
    facts = run.facts("corpus", CorpusFacts)
    names = {
        "train": "articles to train on",
        "heldout": "articles held out",
        "geography": "statements about countries",
        "questions": "questions on capitals",
        "cloze": "cloze items",
    }
    rows = []
    for part, name in names.items():
        texts: TextsFacts | None = getattr(facts, part) if facts else None
        counts = (texts.documents, texts.characters, texts.unspeakable) if texts else (None,) * 3
        rows.append([name, *(shown(number, count) for number in counts)])
    audio = []
    for part in ("train", "heldout", "human", "questions", "cloze"):
        sound, codes = run.facts(f"audio/{part}", AudioFacts), run.facts(f"codes/{part}", CodesFacts)
        heard = [count(sound.utterances), decimal(sound.hours)] if sound else [NOT_REPORTED] * 2
        audio.append([part, *heard, shown(codes.speech_tokens if codes else None, count)])
    return [
        "## Corpus and speech",
        "",
        *prose("""Texts are first paragraphs of Wikipedia articles, and plain statements about countries. Half of the
        capitals are stated in writing only: these statements must never become speech."""),
        *table(["texts", "documents", "characters", "not speakable"], rows),
        *table(["speech", "utterances", "hours", "speech tokens"], audio),
    ]


def _mean_span(facts: InterleavedFacts) -> str:
    return decimal(facts.words_drawn / facts.spans) if facts.words_drawn and facts.spans else NOT_REPORTED


def _mean_plotted(lengths: SpanLengthsFacts) -> str:
    total = sum(lengths.spans)
    if not total:
        return NOT_REPORTED
    return decimal(sum(words * spans for words, spans in zip(lengths.words, lengths.spans, strict=True)) / total)


def speech_tokenizer(run: RunFolder) -> list[str]:
    """The section on the speech tokenizer: word errors and codebook usage; draws codebook.png."""
    facts = run.facts("tokenizer_report", TokenizerReportFacts)
    lines = [
        "## Speech tokenizer",
        "",
        *prose(f"""Whisper's encoder with average pooling to 12.5 Hz and a codebook of
        {shown(facts.codebook_size if facts else None, count)} codes between its layers, trained through recognition.
        The table shows how many words are lost on the way."""),
        *table(
            ["speech, reader", "word error rate", "character error rate", "words"],
            _error_rows(facts.error_rates if facts else {}),
        ),
    ]
    train = run.facts("codes/train", CodesFacts)
    if train:
        plots.plot_codebook(run.folder / "codebook.png", train.code_counts)
        lines += [
            f"Codes used in the training speech: {count(train.codes_used)}; perplexity (effective number of codes): "
            f"{count(train.perplexity)}.",
            "",
            "![How often each code is used](codebook.png)",
            "",
        ]
    return lines


def _error_rows(readings: Mapping[str, ErrorRatesFacts]) -> list[list[str]]:
    """Table rows by data set and reader."""
    rows = [[name, percent(rates.wer), percent(rates.cer), count(rates.words)] for name, rates in readings.items()]
    return rows or [["all", *[NOT_REPORTED] * 3]]


def text_to_token(run: RunFolder) -> list[str]:
    """The section on the text-to-token model: size, losses, round trip."""
    metrics, trip = run.records("t2t/run/metrics.jsonl", MetricsRecord), run.facts("t2t/round_trip", RoundTripFacts)
    export = run.facts("t2t/hf", ExportFacts)
    return [
        "## Text to tokens",
        "",
        *prose("""A small decoder-only model generates speech tokens for text. Round trip: it synthesises held-out
        texts, and the tokenizer's own recogniser reads the tokens back."""),
        *table(
            ["quantity", "value"],
            [
                ["parameters", shown(export.parameters if export else None, count)],
                ["training steps", count(metrics[-1].step) if metrics else NOT_REPORTED],
                ["loss on speech tokens, first step", mean_loss(metrics[:1])],
                ["loss on speech tokens, last tenth", mean_loss(metrics[-max(1, len(metrics) // 10) :])],
                ["round trip, word error rate", shown(trip.wer if trip else None, percent)],
                [
                    "the same, failed texts counted as silence",
                    shown(trip.wer_with_failures if trip else None, percent),
                ],
                ["round trip, character error rate", shown(trip.cer if trip else None, percent)],
                [
                    "codes of the recordings of these texts, word error rate",
                    shown(trip.wer_true_codes if trip else None, percent),
                ],
                ["failed texts", shown(trip.failures if trip else None, count)],
            ],
        ),
    ]


def _noise(facts: InterleavedFacts) -> str:
    return shown(facts.noise.wer if facts.noise else None, interval)


def interleaving(run: RunFolder) -> list[str]:
    """The section on interleaved data: speech ratio, growth in tokens, span lengths; draws spans.png."""
    facts = run.facts("documents/interleaved", InterleavedFacts)
    lines = [
        "## Interleaved data",
        "",
        *prose("""Spans of words become synthetic speech tokens. Their lengths are drawn from Poisson(10) until 0.3 of
        a document's words are covered, and spans never touch."""),
        *table(
            ["quantity", "value"], [[name, value(facts) if facts else NOT_REPORTED] for name, value in _INTERLEAVED]
        ),
    ]
    if facts:
        plots.plot_spans(run.folder / "spans.png", facts.span_lengths, left_out=facts.spans_cut_or_short)
        lines += [
            *prose(f"""Spans may be cut in short documents, to the share of 0.3, and near text that is not speakable.
            The plot leaves out the {count(facts.spans_cut_or_short)} spans of such documents. The mean length is
            {_mean_span(facts)} words over all spans, and {_mean_plotted(facts.span_lengths)} in the plot."""),
            "![Span lengths beside Poisson(10)](spans.png)",
            "",
        ]
    return lines


_INTERLEAVED: tuple[tuple[str, Callable[[InterleavedFacts], str]], ...] = (
    ("documents", lambda facts: count(facts.documents)),
    ("documents left out as not speakable", lambda facts: count(facts.documents_not_speakable)),
    ("text tokens", lambda facts: count(facts.text_tokens)),
    ("speech tokens", lambda facts: count(facts.speech_tokens)),
    ("share of words drawn", lambda facts: shown(facts.ratio_drawn, percent)),
    ("share of words that became speech", lambda facts: shown(facts.ratio_spoken, percent)),
    ("spans", lambda facts: count(facts.spans)),
    ("spans whose synthesis failed", lambda facts: count(facts.spans_failed)),
    (
        "speech tokens per replaced text token",
        lambda facts: shown(facts.speech_tokens_per_replaced_text_id, decimal),
    ),
    ("word error rate of the synthetic speech, a sample read back", _noise),
)
"""Rows of the table on interleaved data: label, and function from the facts to the cell."""
