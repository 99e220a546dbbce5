"""Sections that set the paper's numbers beside this run's, and say what a run of this size can show."""

from __future__ import annotations

from megatron_speech.artifacts.facts.evaluation import DecodedSpeechFacts, EvaluationFacts
from megatron_speech.artifacts.facts.interleaved import InterleavedFacts
from megatron_speech.artifacts.facts.text_to_token import RoundTripFacts
from megatron_speech.artifacts.facts.tokenizer_report import TokenizerReportFacts
from megatron_speech.reports.facts import (
    HELD_OUT_FROM_CODES,
    NOT_REPORTED,
    RunFolder,
    interval,
    percent,
    prose,
    shown,
    table,
)


def beside_the_paper(run: RunFolder) -> list[str]:
    """The section with numbers of arXiv 2411.17607, some of its tokenizer from 2412.02612, beside this run's."""
    tokenizer, trip = run.facts("tokenizer_report", TokenizerReportFacts), run.facts("t2t/round_trip", RoundTripFacts)
    decoded, interleaved = run.facts("wav", DecodedSpeechFacts), run.facts("documents/interleaved", InterleavedFacts)
    after = run.facts("evaluation/after", EvaluationFacts)
    topic = after.cloze.topic if after and after.cloze else {}
    spoken = after.geo_qa.asked_aloud.get("written_only") if after and after.geo_qa else None
    read_back = tokenizer.error_rates.get(HELD_OUT_FROM_CODES) if tokenizer else None
    resynthesis = decoded.resynthesis if decoded else None
    growth = interleaved.speech_tokens_per_replaced_text_id if interleaved else None
    rows = [
        [
            "recognition from codes, WER, 12.5 Hz",
            "2.10 % (LibriSpeech clean)",
            shown(read_back.wer if read_back else None, percent),
        ],
        ["resynthesis WER, 12.5 Hz", "8.43 % (LibriSpeech)", shown(resynthesis.wer if resynthesis else None, percent)],
        ["text-to-token round trip, WER", "3.20 % (VCTK)", shown(trip.wer if trip else None, percent)],
        [
            "speech tokens per replaced text token",
            "3.81 (from its table of tokens)",
            shown(growth, lambda ratio: f"{ratio:.2f}"),
        ],
        ["share of text replaced", "30 %", shown(interleaved.ratio_spoken if interleaved else None, percent)],
        ["topic cloze, speech to text", "93.6 % (Topic-StoryCloze)", shown(topic.get("speech->text"), interval)],
        ["topic cloze, speech to speech", "82.9 % (Topic-StoryCloze)", shown(topic.get("speech->speech"), interval)],
        [
            "spoken questions",
            "15.3, 23.1, 26.7, 31.0 % at 0, 100, 200, 600 billion interleaved tokens",
            f"{interval(spoken)} (one of four)" if spoken else NOT_REPORTED,
        ],
    ]
    return [
        "## Beside the paper",
        "",
        *prose("""The paper trained 9 billion parameters on a trillion tokens. **Test set, voice and size differ in
        every row**: the table shows which quantities are measured, not which side is better."""),
        *table(["quantity", "paper", "this run (another test set)"], rows),
    ]


def what_it_can_show(run: RunFolder) -> list[str]:
    """The section on what a small run can show; the same text for every run."""
    return [
        "## What a run of this size can and cannot show",
        "",
        *prose("""It can show that every part works on real data and fits the next one. Real weights are imported and
        exported, and another library loads the export. Speech tokens carry words, spans are drawn as in the paper,
        losses fall in both modalities, and the run survives a change of parallel layout. It can also show cheap
        effects, such as the words lost in a bottleneck."""),
        *prose("""It cannot show the paper's claim. A few hundred thousand tokens are a millionth of the paper's
        trillion. Expect accuracy near chance on spoken items; an interval that contains chance decides nothing. One
        synthetic voice reads nearly everything, so the numbers do not hold for real speakers. There is one seed, and
        intervals cover only the choice of items, so small differences mean nothing."""),
    ]
