"""Measures a speech tokenizer: error rates with and without the bottleneck, codebook usage, robustness.

Up to three readers transcribe the same held-out utterances. The tokenizer's recogniser sees only codes. The Whisper
model it was trained from hears the audio, and bounds the error rate. An independent Whisper model, the judge, shows how
much of the error is in the audio. Error rates have intervals over utterances, in total and by voice. All transcripts
are kept. Limitation: readers share utterances, so overlapping intervals may still hide a difference.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from megatron_speech.artifacts.facts.estimate import ErrorRatesFacts
from megatron_speech.artifacts.facts.tokenizer_report import (
    DisturbanceFacts,
    MeasuredFacts,
    SetUsageFacts,
    TokenizerReportFacts,
)
from megatron_speech.artifacts.manifest import MANIFEST, is_made, make_artifact
from megatron_speech.artifacts.plain_json import to_json
from megatron_speech.audio.io import SAMPLE_RATE
from megatron_speech.audio.shards import AudioRecord, read_audio_shards
from megatron_speech.config.reports.tokenizer_report import TokenizerReportConfig
from megatron_speech.evaluation.speech.robustness import disturbances, robustness, with_interval
from megatron_speech.grouping import grouped
from megatron_speech.metrics.bootstrap import Bootstrap
from megatron_speech.metrics.word_errors import error_rates, utterance_edits
from megatron_speech.progress import Progress, follow
from megatron_speech.reports.facts import FROM_CODES, WITHOUT_BOTTLENECK
from megatron_speech.reports.tokenizer import write_tokenizer_report
from megatron_speech.speech_tokenizer.corpus.run import usage_facts
from megatron_speech.speech_tokenizer.folder import WEIGHTS
from megatron_speech.speech_tokenizer.interface import CodeRecognizer, SpeechTokenizer
from megatron_speech.speech_tokenizer.table import load_speech_tokenizer, require_recognizer
from megatron_speech.speech_tokenizer.whisper import WhisperRecognizer

logger = logging.getLogger(__name__)

KIND = "speech_tokenizer_report"
WINDOW = 64
"""Utterances given to a reader at a time."""

LONGEST_S = 28.0
"""Longest utterance measured, in seconds: Whisper's window less some silence at the end. The limit holds for every
reader, so that reports with and without Whisper readers measure the same utterances."""

Reader = Callable[[list[AudioRecord]], list[str]]


def tokenizer_report(config: TokenizerReportConfig) -> None:
    """Make the artifact `config.output`: report.md, figures, transcripts and timings.json.

    Raises ValueError if the tokenizer has no recogniser, or if no utterance can be measured.
    """
    judge = config.judge if config.judge and (config.judge / WEIGHTS).is_file() else None
    weights = [folder / WEIGHTS for folder in (config.whisper, judge) if folder is not None]
    # A released tokenizer has no manifest: its files are the inputs.
    made_here = (config.tokenizer / MANIFEST).is_file()
    files = [config.tokenizer] if made_here else [config.tokenizer / name for name in (WEIGHTS, "config.json")]
    inputs = [*files, *config.audio.values(), *weights]
    if is_made(config.output, kind=KIND, config=config, inputs=inputs):
        logger.info("%s: already done", config.output)
        return
    if config.judge is not None and judge is None:
        logger.warning("%s is not there: the report goes without an independent judge", config.judge)
    # Load the readers, and take the longest clip that all of them accept.
    tokenizer = load_speech_tokenizer(config.tokenizer)
    recognizer = require_recognizer(tokenizer, config.tokenizer)
    ears: dict[str, WhisperRecognizer] = {}
    if config.whisper is not None:
        ears[WITHOUT_BOTTLENECK] = WhisperRecognizer.load(config.whisper, language=recognizer.language)
    if judge is not None:
        ears[f"judge {judge.name}"] = WhisperRecognizer.load(judge, language=recognizer.language)
    readers = {label: of_whisper(ear) for label, ear in ears.items()}
    takes = [tokenizer.facts.max_samples, *(ear.max_samples for ear in ears.values())]
    longest = min(int(LONGEST_S * SAMPLE_RATE), *takes)
    with make_artifact(config.output, kind=KIND, config=config, inputs=inputs) as draft:
        sets, left_out, too_long = read_sets(config, longest)
        measured, timings = measure(config, tokenizer, recognizer, readers, sets, draft.folder)
        facts = draft.facts = TokenizerReportFacts(
            judge=judge.name if judge else None,
            left_out=left_out,
            **vars(measured),
            too_long=too_long,
            longest_seconds=longest / SAMPLE_RATE,
        )
        # Measured times are no facts of the artifact: making it again must give the same manifest.
        (draft.folder / "timings.json").write_text(to_json({"encode": timings}, indent=1) + "\n")
        write_tokenizer_report(draft.folder, facts, timings)
    logger.info("%s: written", config.output / "report.md")


def measure(
    config: TokenizerReportConfig,
    tokenizer: SpeechTokenizer,
    recognizer: CodeRecognizer,
    readers: dict[str, Reader],
    sets: dict[str, list[AudioRecord]],
    folder: Path,
) -> tuple[MeasuredFacts, dict[str, Any]]:
    """Measures all data sets; returns facts and encoding times, and writes transcripts into `folder`."""
    # One data set at a time: encode, count codes, have every reader transcribe, disturb.
    bootstrap = Bootstrap(seed=config.seed, resamples=config.resamples)
    counts_K = np.zeros(tokenizer.facts.codebook_size, dtype=np.int64)
    read_wrong: dict[str, ErrorRatesFacts] = {}
    by_voice: dict[str, dict[str, ErrorRatesFacts]] = {}
    usage_by_set: dict[str, SetUsageFacts] = {}
    disturbed: dict[str, tuple[DisturbanceFacts, ...]] = {}
    timings = {}
    for name, records in sets.items():
        codes, timings[name] = encode(tokenizer, name, records)
        own_K = np.bincount(np.concatenate(codes), minlength=len(counts_K))
        counts_K += own_K
        usage_by_set[name] = usage(own_K, records, tokenizer)
        heard = {FROM_CODES: recognizer.recognize(codes)}
        heard |= {reader: read(records, name, reader, function) for reader, function in readers.items()}
        for reader, texts in heard.items():
            read_wrong[f"{name}, {reader}"] = rates(records, texts, bootstrap)
            by_voice[f"{name}, {reader}"] = rates_by_voice(records, texts, bootstrap)
        write_transcripts(folder / f"{name}.jsonl", records, heard)
        if config.robustness is not None:
            disturbed[name] = robustness(tokenizer, recognizer, records, config.robustness, bootstrap)
    # Facts of all data sets together.
    measured = MeasuredFacts(
        error_rates=read_wrong,
        error_rates_by_voice=by_voice,
        usage_by_set=usage_by_set,
        robustness=disturbed,
        **vars(usage_facts(counts_K, frame_rate=tokenizer.facts.frame_rate)),
        **bits_per_second(counts_K, tokenizer.facts.frame_rate),
    )
    return measured, timings


def read_sets(
    config: TokenizerReportConfig, longest: int
) -> tuple[dict[str, list[AudioRecord]], dict[str, str], dict[str, int]]:
    """Reads at most `max_utterances` utterances of each data set, none longer than `longest` samples.

    Returns utterances by data set, reasons by data set that was left out, and numbers of utterances that were too
    long. Raises ValueError if no utterance is left.
    """
    sets: dict[str, list[AudioRecord]] = {}
    left_out, too_long = {}, {}
    for name, folder in config.audio.items():
        records: list[AudioRecord] = []
        passed = 0
        for record in follow(read_audio_shards(folder), f"tokenizer_report {name}: read", unit="utterances"):
            if len(record.waveform) > longest:
                passed += 1
                continue
            records.append(record)
            if len(records) == config.max_utterances:
                break
        if passed:
            too_long[name] = passed
            logger.warning("%s: %d utterances longer than %g s left out", folder, passed, longest / SAMPLE_RATE)
        if records:
            sets[name] = records
            if config.robustness is not None:  # refuses clips that cannot be disturbed, before any is encoded
                disturbances(records[: config.robustness.max_utterances], config.robustness)
        else:
            left_out[name] = f"no utterance up to {longest / SAMPLE_RATE:g} s" if passed else "no utterance"
            logger.warning("%s holds no utterance: the report goes without %s", folder, name)
    if not sets:
        raise ValueError(
            f"audio={', '.join(map(str, config.audio.values()))}: no utterance at all; name held-out speech"
        )
    return sets, left_out, too_long


def of_whisper(recognizer: WhisperRecognizer) -> Reader:
    """A reader that transcribes waveforms with a Whisper model."""
    return lambda records: recognizer.transcribe(
        [record.waveform for record in records], names=[record.name for record in records]
    )


def encode(
    tokenizer: SpeechTokenizer, name: str, records: list[AudioRecord]
) -> tuple[list[np.ndarray], dict[str, float]]:
    """Encodes all records; returns codes int [T] and timing: seconds of speech and CPU seconds of all threads."""
    codes: list[np.ndarray] = []
    start = time.process_time()
    with Progress(f"tokenizer_report {name}: encode", unit="utterances", total=len(records)) as progress:
        for part in grouped(records, WINDOW):
            codes += tokenizer.encode([record.waveform for record in part], names=[record.name for record in part])
            progress.add(len(part))
    spent = time.process_time() - start
    seconds = seconds_of(records)
    timing = {"speech_seconds": seconds, "cpu_seconds": round(spent, 2)}
    timing["speech_seconds_per_cpu_second"] = round(seconds / max(spent, 1e-9), 2)
    logger.info("%s: %g seconds of speech encoded per CPU-second", name, timing["speech_seconds_per_cpu_second"])
    return codes, timing


def seconds_of(records: list[AudioRecord]) -> float:
    """Total duration in seconds, to two decimals."""
    return round(sum(len(record.waveform) for record in records) / SAMPLE_RATE, 2)


def usage(counts_K: np.ndarray, records: list[AudioRecord], tokenizer: SpeechTokenizer) -> SetUsageFacts:
    """Codebook usage of one data set; the report keeps counts per code only for all sets together."""
    facts = usage_facts(counts_K, frame_rate=tokenizer.facts.frame_rate)
    codes = int(counts_K.sum())
    return SetUsageFacts(
        utterances=len(records),
        speech_seconds=seconds_of(records),
        codes=codes,
        codes_per_speech_second=round(codes / seconds_of(records), 3),
        codes_used=facts.codes_used,
        perplexity=facts.perplexity,
    )


def bits_per_second(counts_K: np.ndarray, frame_rate: float) -> dict[str, Any]:
    """Bits per second of speech, by codebook size and by the entropy of code counts; number of unused codes."""
    shares = counts_K[counts_K > 0] / counts_K.sum()
    return {
        "codes_unseen": int((counts_K == 0).sum()),
        "bits_per_second": round(frame_rate * float(np.log2(len(counts_K))), 2),
        "entropy_bits_per_second": round(frame_rate * float(-(shares * np.log2(shares)).sum()), 2),
    }


def read(records: list[AudioRecord], name: str, reader: str, function: Reader) -> list[str]:
    """Transcripts of `records` by one reader; shows how far it is."""
    texts: list[str] = []
    with Progress(f"tokenizer_report {name}: {reader}", unit="utterances", total=len(records)) as progress:
        for part in grouped(records, WINDOW):
            texts += function(part)
            progress.add(len(part))
    return texts


def rates(records: list[AudioRecord], texts: list[str], bootstrap: Bootstrap) -> ErrorRatesFacts:
    """Error rates of the transcripts `texts`, with 95 % intervals over utterances."""
    said = [record.text for record in records]
    edits = utterance_edits(said, texts)
    values: dict[str, Any] = {
        **with_interval("wer", bootstrap.ratio(edits.word_edits, edits.words)),
        **with_interval("cer", bootstrap.ratio(edits.character_edits, edits.characters)),
        **error_rates(said, texts),
    }
    return ErrorRatesFacts(**values)


def rates_by_voice(records: list[AudioRecord], texts: list[str], bootstrap: Bootstrap) -> dict[str, ErrorRatesFacts]:
    """`rates` by voice, as the metadata name it."""
    by_voice: dict[str, list[int]] = {}
    for index, record in enumerate(records):
        by_voice.setdefault(str(record.meta.get("voice", "unknown")), []).append(index)
    return {
        voice: rates([records[i] for i in own], [texts[i] for i in own], bootstrap)
        for voice, own in sorted(by_voice.items())
    }


def write_transcripts(path: Path, records: list[AudioRecord], heard: dict[str, list[str]]) -> None:
    """Writes one JSON line per utterance: key, voice, reference text, and the transcript of each reader."""
    with path.open("w") as file:
        for index, record in enumerate(records):
            line = {"key": record.key, "voice": record.meta.get("voice"), "said": record.text}
            line |= {reader: texts[index] for reader, texts in heard.items()}
            file.write(to_json(line, ensure_ascii=False) + "\n")
