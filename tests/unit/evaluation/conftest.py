"""A tiny random model over bytes and the codes of a tokenizer that hears how loud recordings are."""

from __future__ import annotations

from pathlib import Path

import pytest

from megatron_speech.config.stages.build_vocabulary import BuildVocabularyConfig
from megatron_speech.evaluation.data_sets import encoding
from megatron_speech.evaluation.judging import endpoint
from megatron_speech.evaluation.tasks import hearing
from megatron_speech.evaluation.tasks.settings import SoundSettings
from megatron_speech.inference.model import LanguageModel
from megatron_speech.text_tokenizer.tokenizer import TextTokenizer
from megatron_speech.text_tokenizer.vocabulary_folder import build_vocabulary
from megatron_speech.vocabulary import Vocabulary
from tests.toy_recordings import (
    CODES,
    FACTS,
    LetterRecognizer,
    LevelDecoder,
    LevelDnsmos,
    LevelWhisper,
    LoudnessTokenizer,
)
from tests.toys import tiny_llama


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request that failed is sent again at once."""
    monkeypatch.setattr(endpoint, "FIRST_PAUSE_S", 0.001)


@pytest.fixture
def tokenizer(monkeypatch: pytest.MonkeyPatch) -> LoudnessTokenizer:
    """The speech tokenizer that every folder holds, with its recogniser."""
    fake = LoudnessTokenizer()
    for room in (encoding, hearing):
        monkeypatch.setattr(room, "read_facts", lambda folder: FACTS)
    monkeypatch.setattr(encoding, "load_speech_tokenizer", lambda folder: fake)
    monkeypatch.setattr(encoding, "encode_recording", lambda _, waveform, name: fake.encode_one(waveform))
    monkeypatch.setattr(hearing, "load_recognizer", lambda folder: LetterRecognizer())
    return fake


@pytest.fixture
def sound(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> SoundSettings:
    """Judges of sound that every folder holds."""
    monkeypatch.setattr(hearing, "load_speech_decoder", lambda folder, vocoder: LevelDecoder())
    monkeypatch.setattr(hearing.WhisperRecognizer, "load", lambda folder, *, language: LevelWhisper())
    monkeypatch.setattr(hearing, "Dnsmos", lambda path: LevelDnsmos())
    for name in ("decoder", "vocoder", "whisper"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(name)
    (tmp_path / "dnsmos.onnx").write_text("network")
    return SoundSettings(
        speech_decoder=tmp_path / "decoder",
        vocoder=tmp_path / "vocoder",
        whisper=tmp_path / "whisper",
        dnsmos=tmp_path / "dnsmos.onnx",
    )


@pytest.fixture(scope="module")
def vocabulary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Vocabulary of bytes and `CODES` codes."""
    folder = tmp_path_factory.mktemp("evaluated") / "vocabulary"
    build_vocabulary(
        BuildVocabularyConfig(output=folder, text="bytes", codebook_size=CODES, speech_fingerprint="tokenizer-a")
    )
    return folder


@pytest.fixture(scope="module")
def model(vocabulary: Path) -> LanguageModel:
    """A random model."""
    loaded = Vocabulary.load(vocabulary)
    return LanguageModel(network=tiny_llama(loaded), tokenizer=TextTokenizer.load(vocabulary), vocabulary=loaded)
