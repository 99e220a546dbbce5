"""What words lose on the way through the codes: error rates with and without the bottleneck, and codebook usage.

Three readers hear the same held-out utterances: the Whisper model the tokenizer came from (the bound), the tokenizer's
own recogniser, which sees codes only, and an independent Whisper model, which shows how much of the error is already in
the audio. Rates are given for all and by voice; every transcript is kept. Price: a small sample has a wide interval, so
the number of words stands beside every rate.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from megatron_speech.artifact import is_made, make_artifact
from megatron_speech.audio.shards import AudioRecord, read_audio_shards
from megatron_speech.audio.transcripts import error_rates
from megatron_speech.config.tokenizer_report import TokenizerReportConfig
from megatron_speech.speech_tokenizer.batching import windows
from megatron_speech.speech_tokenizer.tokenize import usage_facts
from megatron_speech.speech_tokenizer.tokenizer import SpeechTokenizer
from megatron_speech.speech_tokenizer.whisper import WhisperRecognizer

log = logging.getLogger(__name__)

KIND = "speech_tokenizer_report"
Reader = Callable[[list[AudioRecord]], list[str]]


def run_report(config: TokenizerReportConfig) -> None:
    """Make the report of `config`, or say that it is made."""
    judge_weights = config.judge / "model.safetensors"
    inputs = [config.tokenizer, *config.audio.values(), config.whisper / "model.safetensors"]
    inputs += [judge_weights] if judge_weights.is_file() else []
    if is_made(config.output, kind=KIND, config=config, inputs=inputs):
        log.info("%s: already done", config.output)
        return
    tokenizer = SpeechTokenizer.load(config.tokenizer)
    readers = make_readers(config, tokenizer)
    counts_K = np.zeros(tokenizer.codebook_size, dtype=np.int64)
    rates: dict[str, Any] = {}
    by_voice: dict[str, Any] = {}
    with make_artifact(config.output, kind=KIND, config=config, inputs=inputs) as draft:
        for name, folder in config.audio.items():
            records = list(islice(read_audio_shards(folder), config.max_utterances))
            for codes in tokenizer.encode([record.waveform for record in records], names=names_of(records)):
                counts_K += np.bincount(codes, minlength=len(counts_K))
            heard = {reader: read(records, name, reader, function) for reader, function in readers.items()}
            for reader, texts in heard.items():
                rates[f"{name}, {reader}"] = error_rates([record.text for record in records], texts)
                by_voice[f"{name}, {reader}"] = rates_by_voice(records, texts)
            write_transcripts(draft.folder / f"{name}.jsonl", records, heard)
        draft.facts.update(usage_facts(counts_K, frame_rate=tokenizer.frame_rate))
        draft.facts.update({"error_rates": rates, "error_rates_by_voice": by_voice, "judge": config.judge.name})
        if not judge_weights.is_file():
            draft.facts["judge"] = None


def make_readers(config: TokenizerReportConfig, tokenizer: SpeechTokenizer) -> dict[str, Reader]:
    """Readers by the name the report shows."""

    def of_whisper(folder: Path) -> Reader:
        recognizer = WhisperRecognizer.load(folder)
        return lambda records: recognizer.transcribe([record.waveform for record in records], names=names_of(records))

    readers: dict[str, Reader] = {
        "without bottleneck": of_whisper(config.whisper),
        "from codes": lambda records: tokenizer.recognize(tokenizer.encode([record.waveform for record in records])),
    }
    if (config.judge / "model.safetensors").is_file():
        readers[f"judge {config.judge.name}"] = of_whisper(config.judge)
    else:
        log.warning("%s is not there: the report goes without an independent judge", config.judge)
    return readers


def names_of(records: list[AudioRecord]) -> list[str]:
    """What errors call them."""
    return [f"utterance {record.key}" for record in records]


def read(records: list[AudioRecord], name: str, reader: str, function: Reader) -> list[str]:
    """Texts of `records` by one reader, with a progress bar."""
    texts: list[str] = []
    with tqdm(total=len(records), desc=f"{name}, {reader}", unit="clip") as bar:
        for part in windows(records, 64):
            texts += function(part)
            bar.update(len(part))
    return texts


def rates_by_voice(records: list[AudioRecord], texts: list[str]) -> dict[str, dict[str, float]]:
    """Error rates of each voice in the metadata."""
    voices = sorted({str(record.meta.get("voice", "unknown")) for record in records})
    result = {}
    for voice in voices:
        own = [i for i, record in enumerate(records) if str(record.meta.get("voice", "unknown")) == voice]
        result[voice] = error_rates([records[i].text for i in own], [texts[i] for i in own])
    return result


def write_transcripts(path: Path, records: list[AudioRecord], heard: dict[str, list[str]]) -> None:
    """One line per utterance: key, voice, what was said, what each reader heard."""
    with path.open("w") as file:
        for index, record in enumerate(records):
            line = {"key": record.key, "voice": record.meta.get("voice"), "said": record.text}
            line |= {reader: texts[index] for reader, texts in heard.items()}
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
