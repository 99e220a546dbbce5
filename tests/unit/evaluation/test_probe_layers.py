"""The probe of layers: nearest states against a plain search, and a model that reads both modalities alike."""

from pathlib import Path

import pytest
import torch

from megatron_speech.artifacts.facts.probe import LayersProbeFacts
from megatron_speech.artifacts.manifest import read_facts
from megatron_speech.config.inspection.probe_layers import ProbeLayersConfig
from megatron_speech.config.run.evaluation import GeoQaConfig
from megatron_speech.config.stages.build_vocabulary import BuildVocabularyConfig
from megatron_speech.evaluation.probe_layers import _nearest, _shares, probe_layers
from megatron_speech.text_tokenizer.vocabulary_folder import build_vocabulary
from tests.slow_folders import geo_questions
from tests.toys import write_model


def test_the_nearest_state_is_that_of_a_plain_search() -> None:
    spoken, written = torch.randn(3, 5, 8), torch.randn(3, 4, 8) + 7
    found = _nearest(spoken, written)
    for layer in range(3):
        others = written[layer] - written[layer].mean(dim=0)
        for reading, state in enumerate(spoken[layer] - spoken[layer].mean(dim=0)):
            similar = [torch.cosine_similarity(state, other, dim=0).item() for other in others]
            assert found[layer, reading] == similar.index(max(similar))


def test_states_that_differ_by_their_modality_alone_are_all_found() -> None:
    written = torch.randn(2, 6, 8)
    assert torch.equal(_nearest(3 * written + 5, written), torch.arange(6).expand(2, 6))


def test_readings_of_a_question_count_as_one() -> None:
    found = torch.tensor([[True, False, True]])
    shares = _shares(found, [(0, "a"), (0, "b"), (1, "a")])
    assert (shares["0"].value, shares["0"].items) == (0.75, 2)


def test_every_layer_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    geo_questions()
    vocabulary = BuildVocabularyConfig(
        output=tmp_path / "vocabulary", text="bytes", codebook_size=16, speech_fingerprint="of_codes"
    )
    build_vocabulary(vocabulary)
    config = ProbeLayersConfig(
        model=write_model(tmp_path / "model", vocabulary.output),
        geo_qa=GeoQaConfig(texts=Path("questions.jsonl"), codes=Path("codes_of_questions")),
        output=tmp_path / "probe",
    )
    probe_layers(config)
    facts = read_facts(config.output, LayersProbeFacts)
    assert facts.questions == 4 and list(facts.layers)[:2] == ["0", "1"]
    assert len((config.output / "items.jsonl").read_text().splitlines()) == 4
