"""One recording to codes and back to sound: the codes of the corpus tool, and files that fit."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from megatron_speech.audio.shards import AudioRecord
from megatron_speech.commands import printed
from megatron_speech.config.stages.speech_decoder import DecodeConfig
from megatron_speech.config.stages.tokenize_speech import EncodeConfig, TokenizeSpeechConfig
from megatron_speech.data.shards.documents import read_documents
from megatron_speech.speech_decoder.one_recording import decode
from megatron_speech.speech_tokenizer.corpus.run import tokenize_speech
from megatron_speech.speech_tokenizer.model import save_model
from megatron_speech.speech_tokenizer.one_recording import encode
from megatron_speech.speech_tokenizer.table import read_facts
from tests.toys import write_audio
from tests.unit.speech_decoder.toys import write_toy_decoder
from tests.unit.speech_tokenizer.toys import narrowed_config, noise, placed_model, write_text_side

CAUSAL = {"quantize_causal_block_size": 20, "log_mel_floor": "block", "quantize_encoder_only": True}


@pytest.fixture(scope="module", params=[{}, CAUSAL], ids=["bidirectional", "causal"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """tokenizer/ for clips up to 4 s, and clip.wav of 9.3 s."""
    root = tmp_path_factory.mktemp("recording")
    write_text_side(root)
    (root / "tokenizer").mkdir()
    model = placed_model(narrowed_config(**request.param), noise(60_000, 3))
    save_model(model, root / "tokenizer", text_from=root)
    soundfile.write(root / "clip.wav", noise(148_800, 7), 16_000, subtype="FLOAT")
    return root


def test_codes_are_those_of_the_corpus_tool(folder: Path, tmp_path: Path) -> None:
    waveform, _ = soundfile.read(folder / "clip.wav", dtype="float32")
    soundfile.write(tmp_path / "clip.flac", waveform, 16_000)
    write_audio(tmp_path / "audio", [AudioRecord(key="a", waveform=waveform, text="", meta={})])
    tokenize_speech(
        TokenizeSpeechConfig(tokenizer=folder / "tokenizer", audio=tmp_path / "audio", output=tmp_path / "codes")
    )
    ((document,)) = read_documents(tmp_path / "codes")
    made = encode(EncodeConfig(audio=tmp_path / "clip.flac", tokenizer=folder / "tokenizer"))
    assert made.codes == tuple(document.tokens.tolist()) and len(set(made.codes)) > 3
    assert len(made.codes) == 117 and made.frame_rate == 12.5, "9.3 s, beyond the longest clip"


def test_codes_go_to_a_file_and_back_to_sound(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fingerprint = read_facts(folder / "tokenizer").fingerprint
    decoder, vocoder = write_toy_decoder(tmp_path, codebook_size=16, fingerprint=fingerprint)
    codes, sound = tmp_path / "codes.json", tmp_path / "answer.wav"
    printed.encode(EncodeConfig(audio=folder / "clip.wav", tokenizer=folder / "tokenizer", output=codes))
    printed.encode(EncodeConfig(audio=folder / "clip.wav", tokenizer=folder / "tokenizer"))
    printed.decode(DecodeConfig(codes=codes, decoder=decoder, vocoder=vocoder, output=sound))
    first, second, third = capsys.readouterr().out.splitlines()
    assert first == f"{codes}: 117 codes, 9.4 s"
    assert json.loads(second) == json.loads(codes.read_text()), "what is printed is what decode reads"
    waveform, rate = soundfile.read(sound)
    assert third == f"{sound}: {len(waveform) / rate:.1f} s of speech" and abs(len(waveform) / rate - 9.36) < 0.02
    assert not list(tmp_path.glob("*.tmp"))


def test_codes_of_another_tokenizer_are_not_decoded(tmp_path: Path) -> None:
    decoder, vocoder = write_toy_decoder(tmp_path, codebook_size=16, fingerprint="abc")
    config = DecodeConfig(
        codes=tmp_path / "codes.json", decoder=decoder, vocoder=vocoder, output=tmp_path / "answer.wav"
    )
    with pytest.raises(
        FileNotFoundError, match=r"^codes=\S+codes\.json: no such file; make it by megatron-speech encode$"
    ):
        decode(config)
    given = {"codes": [1, 2], "frame_rate": 12.5, "codebook_size": 16, "speech_fingerprint": "abd"}
    config.codes.write_text(json.dumps(given))
    with pytest.raises(ValueError, match=r"codes\.json: made by speech tokenizer abd, but the speech decoder"):
        decode(config)
    config.codes.write_text(json.dumps({**given, "codes": [1, "2"]}))
    with pytest.raises(ValueError, match=r"not a file of encode \(codes\[1\]=2 must be an integer\)"):
        decode(config)
    config.codes.write_text(json.dumps({**given, "codes": [], "speech_fingerprint": "abc"}))
    with pytest.raises(ValueError, match=r"codes of shape \(0,\) must be \[N\] with N > 0"):
        decode(config)
    assert not config.output.exists()


def test_an_answer_is_wav_or_flac(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^output=a\.mp3: audio is written as \.wav or \.flac; choose one"):
        DecodeConfig(codes=Path("c"), decoder=Path("d"), vocoder=Path("v"), output=Path("a.mp3"))


def test_silence_is_refused_before_the_tokenizer_is_read(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "silent.wav", np.zeros(16_000), 16_000)
    with pytest.raises(ValueError, match=r"silent\.wav: no sound above -60 decibels of full scale; record it again"):
        encode(EncodeConfig(audio=tmp_path / "silent.wav", tokenizer=tmp_path / "nowhere"))
