"""The paper's numbers beside this run's where the quantity is the same, and what a run of this size can show."""

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
    """Numbers of arXiv 2411.17607 and, for its tokenizer and tables, 2412.02612, beside ours; other data throughout."""
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
            "tokenizer read back, WER, 12.5 Hz",
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
        *prose("""The paper trained 9 billion parameters on a trillion tokens. **Every row has another test set,
        another voice and another size on each side**: read it for what is measured, not for who wins."""),
        *table(["quantity", "paper", "this run (another test set)"], rows),
    ]


def what_it_can_show(run: RunFolder) -> list[str]:
    """The same plain words for every run."""
    return [
        "## What a run of this size can and cannot show",
        "",
        *prose("""It can show that every part works on real data and fits the next: real weights in and out of the
        engine, speech tokens that carry words, spans placed as the paper draws them, losses that fall by modality, a
        run that survives a change of parallel layout, an export that another library loads. It can show cheap
        effects: what a bottleneck costs in words, what more steps buy."""),
        *prose("""It cannot show the paper's claim. A few hundred thousand tokens are a millionth of the paper's
        trillion; accuracy on spoken items near chance is what to expect, and an interval that contains chance says
        nothing in either direction. One synthetic voice reads nearly everything, so nothing here speaks of real
        speakers. One seed was run, and intervals cover the choice of items only, so small gaps mean nothing."""),
    ]
