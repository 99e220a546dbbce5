"""Models, corpora and an engine without a model, for the tests that build shards."""

from __future__ import annotations

from pathlib import Path

import pytest

from megatron_speech.config.stages.build_interleaved import BuildInterleavedConfig, InterleavedCorpusConfig, SpansConfig
from megatron_speech.config.stages.build_vocabulary import BuildVocabularyConfig
from megatron_speech.config.stages.text_to_token import SynthesisConfig
from megatron_speech.interleave.models import Models
from megatron_speech.reports import plots
from megatron_speech.text_tokenizer.vocabulary_folder import build_vocabulary
from tests.toys import write_jsonl, write_model
from tests.unit.interleave.toys import FakeEngine, article, record


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    build_vocabulary(BuildVocabularyConfig(output=folder / "vocabulary", text="bytes", codebook_size=16))
    write_model(folder / "hf", folder / "vocabulary", num_hidden_layers=1)
    return folder


@pytest.fixture
def config(tmp_path: Path, models: Path) -> BuildInterleavedConfig:
    """Two corpora, one with a document that must not be spoken, the other of two files, and shards of two lines."""
    write_jsonl(tmp_path / "wiki/a.jsonl", *(record(f"wiki-{i}", article(i), speakable=True) for i in range(5)))
    write_jsonl(tmp_path / "wiki/b.jsonl", *(record(f"wiki-{i}", article(i)) for i in range(5, 7)))
    facts = [record(f"fact-{i}", f"Country {i} lies in the far north of Europe.") for i in (1, 2, 3)]
    write_jsonl(tmp_path / "facts.jsonl", record("fact-0", "The capital of France is Paris.", speakable=False), *facts)
    return BuildInterleavedConfig(
        corpora={
            "facts": InterleavedCorpusConfig(path=tmp_path / "facts.jsonl", renderings=3, max_documents=2),
            "wiki": InterleavedCorpusConfig(path=tmp_path / "wiki", licence="CC0-1.0", language="en"),
        },
        model=models / "hf",
        vocabulary=models / "vocabulary",
        output=tmp_path / "interleaved",
        shard_documents=2,
        spans=SpansConfig(ratio=0.4, mean_length=4),
        synthesis=SynthesisConfig(min_codes_per_character=0.1, max_codes_per_character=3, attempts=2),
    )


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    fake = FakeEngine()
    monkeypatch.setattr(Models, "speak", lambda models, items: fake.speak(models, items))
    monkeypatch.setattr(plots, "plot_spans", lambda path, *_, **__: path.touch())  # drawing is slow
    return fake
