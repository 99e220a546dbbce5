"""Training the decoder: it learns, is reproducible, and names mistakes."""

import json
import logging
import re
from dataclasses import replace

import pytest

from megatron_speech.artifacts.facts.speech_tokenizer import FingerprintFacts
from megatron_speech.artifacts.manifest import make_artifact
from megatron_speech.config.stages.speech_decoder import DecodeSpeechConfig, TokenToMelConfig, TrainSpeechDecoderConfig
from megatron_speech.speech_decoder.training.run import train_speech_decoder
from tests.unit.speech_decoder.training.toys import write_language


@pytest.fixture
def corpus(tmp_path):
    """The configuration to train on a toy language."""
    write_language(tmp_path)
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
