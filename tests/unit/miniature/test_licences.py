"""The terms of what is fetched reach the manifest of what a model is trained on, through every stage between."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from megatron_speech.artifacts.facts.miniature import AssetFacts
from megatron_speech.artifacts.manifest import make_artifact, read_manifest
from megatron_speech.audio.shards import read_audio_shards
from megatron_speech.config.inspection.shards import InspectShardsConfig
from megatron_speech.config.stages.build_vocabulary import BuildVocabularyConfig
from megatron_speech.config.stages.miniature import VOICES, AssetsConfig, PrepareCorpusConfig, SpeakCorpusConfig
from megatron_speech.config.stages.pack_shards import PackShardsConfig
from megatron_speech.config.stages.text_corpus import TextCorpusConfig
from megatron_speech.config.stages.text_to_token import BuildTaskDocumentsConfig
from megatron_speech.config.stages.tokenize_text import TokenizeTextConfig
from megatron_speech.config.stages.train_text_tokenizer import TrainTextTokenizerConfig
from megatron_speech.data.packing.pack import pack_shards
from megatron_speech.data.shards.document import TokenDocument
from megatron_speech.data.shards.documents import write_documents
from megatron_speech.data.shards.inspect import inspect_shards
from megatron_speech.miniature import recordings, unpack
from megatron_speech.miniature.catalogue import CATALOGUE, pin_named
from megatron_speech.miniature.corpus import prepare_corpus
from megatron_speech.miniature.speak import speak_corpus
from megatron_speech.miniature.unpack import Recipe, unpack_assets
from megatron_speech.miniature.voices import voice_packages
from megatron_speech.text_to_token.task_documents import build_task_documents
from megatron_speech.text_tokenizer.vocabulary_folder import build_vocabulary
from megatron_speech.tokenize_text.run import tokenize_text
from megatron_speech.tokenize_text.train_tokenizer import train_text_tokenizer
from megatron_speech.vocabulary import Vocabulary


def terms(folder: Path) -> tuple[list[str], list[str]]:
    manifest = read_manifest(folder)
    return list(manifest.licences or ()), list(manifest.languages or ())


@pytest.fixture
def corpus(packages: Path, tmp_path: Path) -> Path:
    prepare_corpus(PrepareCorpusConfig(assets=packages, output=tmp_path / "corpus", heldout_share=0.3, cloze_items=5))
    return tmp_path / "corpus"


def test_packed_rows_name_the_terms_of_texts_and_voice(corpus: Path, tmp_path: Path) -> None:
    assert terms(corpus) == (["CC-BY-SA-4.0", "ODbL-1.0"], ["en"])
    audio = SpeakCorpusConfig(
        assets=tmp_path / "assets",
        corpus=corpus,
        output=tmp_path / "audio",
        part="train",
        utterances={"hibari": 4, "slt": 2},  # the second is not there and says nothing
    )
    speak_corpus(audio)
    voiced = ["Apache-2.0", "CC-BY-SA-4.0", "ODbL-1.0"]
    assert terms(audio.output) == (voiced, ["en"])

    with make_artifact(tmp_path / "codes", kind="codes", config={}, inputs=[audio.output]) as draft:
        said = [
            TokenDocument(key=r.key, tokens=np.ones(3, np.int32), meta=r.meta) for r in read_audio_shards(audio.output)
        ]
        draft.facts = write_documents(draft.folder, said, vocabulary=Vocabulary.of_codes(4, ""), name="codes")
    vocabulary, paired, text = (tmp_path / name for name in ("vocabulary", "paired", "text"))
    build_vocabulary(BuildVocabularyConfig(output=vocabulary, codebook_size=4))
    build_task_documents(
        BuildTaskDocumentsConfig(codes=[tmp_path / "codes"], vocabulary=vocabulary, output=paired, task="synthesis")
    )
    corpora = {"geography": TextCorpusConfig(path=corpus / "geography.jsonl", max_documents=3, licence="MIT-0")}
    tokenize_text(TokenizeTextConfig(corpora=corpora, vocabulary=vocabulary, output=text))
    packed = PackShardsConfig(input=[text, paired], output=tmp_path / "packed", seq_length=64)
    pack_shards(packed)
    assert terms(packed.output) == (["Apache-2.0", "CC-BY-SA-4.0", "MIT-0", "ODbL-1.0"], ["en"])
    shown = list(inspect_shards(InspectShardsConfig(folder=packed.output)))
    assert "licences Apache-2.0, CC-BY-SA-4.0, MIT-0, ODbL-1.0" in shown


def test_recordings_have_their_own_terms_and_none_of_the_corpus(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pin = pin_named("pocketsphinx-testdata")
    pin.marker(tmp_path / "assets").write_text(pin.sha256)
    monkeypatch.setattr(
        recordings, "_test_recordings", lambda root: [("cards", "1", "ten", np.zeros(32000, np.float32))]
    )
    config = SpeakCorpusConfig(assets=tmp_path / "assets", corpus=corpus, output=tmp_path / "human", part="human")
    speak_corpus(config)
    assert terms(config.output) == (["BSD-2-Clause"], ["en"])


def test_an_unpacked_model_has_the_terms_of_its_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pin = pin_named("speechmos")
    pin.marker(tmp_path).parent.mkdir()
    pin.marker(tmp_path).write_text(pin.sha256)
    monkeypatch.setattr(unpack, "RECIPES", (Recipe("toy", ("speechmos",), lambda packages, output: AssetFacts()),))
    unpack_assets(AssetsConfig(folder=tmp_path, set="ci"))
    assert terms(tmp_path / "toy") == (["MIT"], [])


def test_a_trained_tokenizer_has_the_terms_of_its_corpora(corpus: Path, tmp_path: Path) -> None:
    corpora = {"web": TextCorpusConfig(path=corpus / "train.jsonl", licence="CC0-1.0", language="mul")}
    config = TrainTextTokenizerConfig(
        corpora=corpora, output=tmp_path / "bpe", vocab_size=320, test_documents=10, threads=1
    )
    train_text_tokenizer(config)
    assert terms(config.output) == (["CC-BY-SA-4.0", "CC0-1.0", "ODbL-1.0"], ["en", "mul"])


def test_every_voice_and_recipe_is_of_the_catalogue() -> None:
    known = {pin.name for pin in CATALOGUE}
    used = {name for voice in VOICES for name in voice_packages(voice)} | set(recordings.PACKAGES_READ)
    assert used | {name for recipe in unpack.RECIPES for name in recipe.packages} <= known
