"""Training the decoder: it learns, is reproducible, and names mistakes."""

import json
import logging
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from megatron_speech.artifacts.facts.speech_tokenizer import FingerprintFacts
from megatron_speech.artifacts.manifest import make_artifact
from megatron_speech.audio.shards import AudioRecord
from megatron_speech.config.stages.speech_decoder import DecodeSpeechConfig, TokenToMelConfig, TrainSpeechDecoderConfig
from megatron_speech.data.shards.document import TokenDocument
from megatron_speech.speech_decoder.training.run import train_speech_decoder
from tests.toys import write_audio, write_codes

CODES, SAMPLES_PER_TOKEN = 16, 1280


def tone(codes: np.ndarray) -> np.ndarray:
    """Speech whose every token is a tone of its own: what the network has to learn."""
    time_s = np.arange(len(codes) * SAMPLES_PER_TOKEN) / 16000
    return (0.3 * np.sin(2 * np.pi * (200 + 150 * codes.repeat(SAMPLES_PER_TOKEN)) * time_s)).astype(np.float32)


@pytest.fixture
def corpus(tmp_path):
    """Audio shards, code shards and tokenizer of a toy language; returns the configuration to train on them."""
    rng = np.random.default_rng(0)
    codes = {f"u{i}": rng.integers(0, CODES, size=rng.integers(8, 16)).astype(np.int32) for i in range(12)}
    meta = {"u0": {"voice": "other", "speaker": "hibari"}, "u1": {"speaker": "hibari"}}
    records = [
        AudioRecord(key=key, waveform=tone(each), text="x", meta=meta.get(key, {"voice": "hibari"}))
        for key, each in codes.items()
    ]
    documents = [TokenDocument(key=key, tokens=each, meta={}) for key, each in codes.items()]
    write_audio(tmp_path / "audio", records)
    write_codes(tmp_path / "codes", documents, num_codes=CODES, fingerprint="toy")
    with make_artifact(tmp_path / "tokenizer", kind="speech_tokenizer", config={}) as draft:
        draft.facts = FingerprintFacts(fingerprint="toy")
        save_file({"encoder.codebook.weight": torch.randn(CODES, 24)}, draft.folder / "model.safetensors")
    return TrainSpeechDecoderConfig(
        output=tmp_path / "decoder",
        audio=tmp_path / "audio",
        codes=tmp_path / "codes",
        heldout_audio=tmp_path / "audio",
        heldout_codes=tmp_path / "codes",
        tokenizer=tmp_path / "tokenizer",
        voices=("hibari",),
        net=TokenToMelConfig(token_channels=32, token_layers=1, frame_channels=16, frame_layers=1, dropout=0.0),
        steps=200,
        lr=5e-3,
        batch_size=4,
    )


def facts(folder):
    return json.loads((folder / "manifest.json").read_text())["facts"]


def test_it_learns_and_equal_seeds_give_equal_weights(corpus, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    train_speech_decoder(corpus)
    assert re.search(r": 11 utterances, left out of another voice \d+$", caplog.text, re.MULTILINE)
    train_speech_decoder(replace(corpus, output=tmp_path / "again"))
    made = facts(corpus.output)
    assert made["utterances"] == 11, "the other voice is left out"
    assert made["heldout_l1"] < 0.6 * made["heldout_l1_untrained"]
    weights = [(folder / "model.safetensors").read_bytes() for folder in (corpus.output, tmp_path / "again")]
    assert weights[0] == weights[1]


def test_a_repeated_command_does_nothing(corpus):
    config = replace(corpus, steps=1)
    train_speech_decoder(config)
    before = (config.output / "manifest.json").stat().st_mtime_ns
    train_speech_decoder(config)
    assert (config.output / "manifest.json").stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"frame_rate": 25.0}, r"codes for .* s of audio, not frame_rate=25\.0"),
        (
            {"voices": ("nobody",)},
            r"\['nobody'\] stand in .* as voice or speaker \(others found there: hibari, other\)",
        ),
    ],
)
def test_a_mistake_is_named_and_leaves_nothing(corpus, change, message):
    with pytest.raises(ValueError, match=message):
        train_speech_decoder(replace(corpus, **change))
    assert not corpus.output.exists()


def test_codes_of_another_tokenizer_are_refused(corpus, tmp_path):
    with make_artifact(tmp_path / "stranger", kind="speech_tokenizer", config={}) as draft:
        draft.facts = FingerprintFacts(fingerprint="another")
    with pytest.raises(ValueError, match="did not make these codes"):
        train_speech_decoder(replace(corpus, tokenizer=tmp_path / "stranger"))


def test_without_a_vocoder_no_wav_is_made_and_the_manifest_says_so(corpus, tmp_path):
    from megatron_speech.evaluation.speech.resynthesis import decode_speech

    config = replace(corpus, steps=1)
    train_speech_decoder(config)
    decode_speech(
        DecodeSpeechConfig(
            output=tmp_path / "wav",
            audio=corpus.audio,
            codes=corpus.codes,
            decoder=corpus.output,
            vocoder=tmp_path / "absent",
            dnsmos=tmp_path / "absent.onnx",
            recognizer=tmp_path / "absent",
            voices=("hibari",),
        )
    )
    assert facts(tmp_path / "wav") == {"vocoder": "absent"}
    assert not list((tmp_path / "wav").glob("*.wav"))
