"""Decodes held-out codes to waveforms, and has two judges hear originals and resyntheses.

DNSMOS judges how clean a clip sounds, a Whisper model how many words survive. Both judges hear the same utterances, so
the difference between original and resynthesis is what codes and decoder lost. Some clips are kept as WAV files.
Without the vocoder's weights no WAV is made, and the manifest says so.
"""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from megatron_speech.artifacts.facts.evaluation import DecodedSpeechFacts, HeardFacts
from megatron_speech.artifacts.files import write_atomic
from megatron_speech.artifacts.manifest import is_made, make_artifact
from megatron_speech.artifacts.plain_json import to_json
from megatron_speech.audio.io import SAMPLE_RATE, resample, write_audio
from megatron_speech.audio.shards import read_audio_shards
from megatron_speech.config.stages.speech_decoder import DecodeSpeechConfig
from megatron_speech.data.shards.documents import read_documents
from megatron_speech.metrics.dnsmos import Dnsmos
from megatron_speech.metrics.word_errors import error_rates
from megatron_speech.progress import follow
from megatron_speech.speech_decoder.interface import SpeechDecoder
from megatron_speech.speech_decoder.one_recording import require_tokenizer
from megatron_speech.speech_decoder.table import load_speech_decoder
from megatron_speech.speech_tokenizer.whisper import WhisperRecognizer
from megatron_speech.vocabulary import Vocabulary

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A held-out utterance: its waveform and its codes."""

    key: str
    """Key of the utterance."""
    text: str
    """Its transcript."""
    original: np.ndarray
    """Waveform [N] at 16 kHz."""
    codes: np.ndarray
    """Speech codes [T]."""


def decode_speech(config: DecodeSpeechConfig) -> None:
    """Make the artifact `config.output`: WAV files, scores.jsonl, error rates and opinion scores.

    Raises ValueError if no utterance fits, or if the codes come from another speech tokenizer than the decoder's.
    """
    weights = config.vocoder / "model.safetensors"
    inputs = [config.audio, config.codes, config.decoder]
    inputs += [config.generated] if config.generated is not None else []
    inputs += [weights] if weights.is_file() else []
    if is_made(config.output, kind="decoded_speech", config=config, inputs=inputs):
        logger.info("%s: already done", config.output)
        return
    with make_artifact(config.output, kind="decoded_speech", config=config, inputs=inputs) as draft:
        if not weights.is_file():
            logger.warning("%s does not exist: the vocoder's weights are not installed, so no WAV is made", weights)
            draft.facts = DecodedSpeechFacts(vocoder="absent")
            return
        # Decode and judge held-out utterances.
        decoder = load_speech_decoder(config.decoder, config.vocoder)
        require_tokenizer(decoder, Vocabulary.load(config.codes).speech_fingerprint, holder=str(config.codes))
        pairs = _read_pairs(config)
        sounds = [decoder.decode(pair.codes) for pair in follow(pairs, "decode_speech", unit="utterances")]
        rate = decoder.facts.sample_rate
        original, resynthesis = _judge(config, pairs, [resample(s, rate, SAMPLE_RATE) for s in sounds], draft.folder)
        # Keep the first ones as WAV files, and decode codes that a language model generated.
        for pair, sound in list(zip(pairs, sounds, strict=True))[: config.num_wavs]:
            write_audio(draft.folder / f"{pair.key}.original.wav", pair.original)
            write_audio(draft.folder / f"{pair.key}.resynthesis.wav", sound, sample_rate=rate)
        generated = None
        if config.generated is not None:
            generated = tuple(_decode_generated(config.generated / "codes", decoder, draft.folder))
        draft.facts = DecodedSpeechFacts(
            vocoder="present",
            utterances=len(pairs),
            recognizer=config.recognizer.name,
            original=original,
            resynthesis=resynthesis,
            generated=generated,
        )


def _read_pairs(config: DecodeSpeechConfig) -> list[Pair]:
    """The first `num_utterances` utterances of `voices` that have audio and codes. Raises ValueError if none has."""
    codes = {document.key: document.tokens for document in read_documents(config.codes)}
    pairs: list[Pair] = []
    for record in follow(read_audio_shards(config.audio), "decode_speech: read", unit="utterances", late=True):
        if record.key in codes and record.voice in config.voices:
            pairs.append(Pair(key=record.key, text=record.text, original=record.waveform, codes=codes[record.key]))
        if len(pairs) == config.num_utterances:
            break
    if not pairs:
        raise ValueError(
            f"{config.audio}: no utterance of voices={list(config.voices)} has codes in {config.codes}; check both"
        )
    return pairs


def _judge(
    config: DecodeSpeechConfig, pairs: list[Pair], sounds: list[np.ndarray], folder: Path
) -> tuple[HeardFacts, HeardFacts]:
    """Word error rates and opinion scores of originals and of resyntheses; writes scores.jsonl into `folder`."""
    recognizer, dnsmos = WhisperRecognizer.load(config.recognizer), Dnsmos(config.dnsmos)
    texts = [pair.text for pair in pairs]
    facts = []
    lines: list[dict[str, Any]] = [{"key": pair.key, "text": pair.text} for pair in pairs]
    for name, waveforms in (("original", [pair.original for pair in pairs]), ("resynthesis", sounds)):
        heard = recognizer.transcribe(waveforms, names=[f"utterance {pair.key} ({name})" for pair in pairs])
        judged = follow(waveforms, f"decode_speech: DNSMOS of {name}", unit="utterances")
        scores = [dnsmos.score(waveform) for waveform in judged]
        for line, hypothesis, score in zip(lines, heard, scores, strict=True):
            line[name] = {"heard": hypothesis, "dnsmos": asdict(score)}
        rates = error_rates(texts, heard)
        opinion = float(np.mean([score.overall for score in scores]))
        facts.append(HeardFacts(wer=rates["wer"], cer=rates["cer"], words=int(rates["words"]), dnsmos=opinion))
        logger.info("%s: word error rate %.3f, DNSMOS %.2f", name, rates["wer"], opinion)
    write_atomic(folder / "scores.jsonl", "".join(to_json(line, ensure_ascii=False) + "\n" for line in lines))
    original, resynthesis = facts
    return original, resynthesis


def _decode_generated(codes: Path, decoder: SpeechDecoder, folder: Path) -> list[str]:
    """Writes WAV files of generated codes; returns their names, none if the folder `codes` does not exist."""
    names: list[str] = []
    if not codes.is_dir():
        return names
    require_tokenizer(decoder, Vocabulary.load(codes).speech_fingerprint, holder=str(codes))
    for document in follow(read_documents(codes), "decode_speech: generated", unit="utterances"):
        sound = decoder.decode(document.tokens)
        names.append(f"{document.key}.generated.wav")
        write_audio(folder / names[-1], sound, sample_rate=decoder.facts.sample_rate)
    return names
