"""Samples from a tiny random model: layouts, files, and codes that the decoder can read."""

import json
from pathlib import Path

import pytest

from megatron_speech.artifacts.manifest import read_manifest
from megatron_speech.config.stages.build_vocabulary import BuildVocabularyConfig
from megatron_speech.config.stages.generate import GenerateConfig
from megatron_speech.config.stages.text_to_token import RoundTripConfig, UtterancesConfig
from megatron_speech.data.shards.documents import read_documents
from megatron_speech.evaluation.samples import generate, samples_in_words
from megatron_speech.text_to_token.round_trip import round_trip
from megatron_speech.text_tokenizer.vocabulary_folder import build_vocabulary
from tests.toys import utterances, write_codes, write_model


def _folders(folder: Path) -> None:
    """hf/ with a random model, codes/ with three utterances."""
    build_vocabulary(
        BuildVocabularyConfig(output=folder / "vocabulary", text="bytes", codebook_size=16, speech_fingerprint="abc")
    )
    write_model(folder / "hf", folder / "vocabulary", num_hidden_layers=1)
    documents = utterances({"text": f"Text {n}."} for n in range(3))
    write_codes(folder / "codes", documents, num_codes=16, fingerprint="abc")


def test_mistakes_are_found_before_the_weights_are_read(tmp_path: Path) -> None:
    _folders(tmp_path)
    (tmp_path / "hf" / "model.safetensors").unlink()
    none = UtterancesConfig(voices=["nobody"])
    with pytest.raises(ValueError, match="no utterance passes the filters; widen `utterances`"):
        generate(
            GenerateConfig(model=tmp_path / "hf", codes=tmp_path / "codes", output=tmp_path / "sample", utterances=none)
        )
    with pytest.raises(ValueError, match="no utterance passes the filters; widen `utterances`"):
        round_trip(
            RoundTripConfig(
                model=tmp_path / "hf",
                speech_tokenizer=tmp_path / "unread",
                codes=tmp_path / "codes",
                output=tmp_path / "round-trip",
                utterances=none,
            )
        )


def test_every_utterance_is_continued_recognised_and_spoken(tmp_path: Path) -> None:
    _folders(tmp_path)
    config = GenerateConfig(
        model=tmp_path / "hf",
        codes=tmp_path / "codes",
        output=tmp_path / "sample",
        utterances=UtterancesConfig(max_utterances=2),
        max_text_tokens=6,
        max_speech_tokens=9,
    )
    generate(config)
    generate(config)  # done already
    samples = json.loads((tmp_path / "sample" / "samples.json").read_text())
    assert [(each["id"], each["spoken"]) for each in samples] == [("u0", "Text 0."), ("u1", "Text 1.")]
    assert all(isinstance(each["continuation"], str) and "<|audio_" not in each["recognition"] for each in samples)
    spoken = {each.key: each.tokens.tolist() for each in read_documents(tmp_path / "sample" / "codes")}
    assert spoken == {each["id"]: each["codes"] for each in samples if each["codes"]}
    lines = list(samples_in_words(config.output))
    assert [line for line in lines if not line.startswith("  ")] == [
        *("u0: Text 0.", "u1: Text 1.", f"samples: {config.output}/samples.json")
    ]
    ends = ["ended by the model" if each["speech_ended"] else "cut at the limit" for each in samples]
    assert [line for line in lines if line.startswith("  speech")] == [
        f"  speech: {len(each['codes'])} codes, {end}" for each, end in zip(samples, ends, strict=True)
    ], "numbers of codes, not the codes"
    assert all(0 <= code < 16 for codes in spoken.values() for code in codes)
    manifest = read_manifest(tmp_path / "sample")
    assert len(manifest.facts["samples"]) == 2
    assert list(manifest.config) == [
        *("model", "codes", "output", "speech_tokenizer", "utterances", "max_text_tokens", "max_speech_tokens"),
        *("temperature", "top_p", "seed", "dtype", "device"),
    ], "as before answers were possible"
