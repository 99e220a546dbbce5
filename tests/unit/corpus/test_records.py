"""Corpora: what is wrong with a line is said with its file and number."""

from pathlib import Path

import numpy as np
import pytest

from megatron_speech.artifacts.manifest import read_manifest
from megatron_speech.config.inspection.shards import InspectShardsConfig
from megatron_speech.config.stages.build_vocabulary import BuildVocabularyConfig
from megatron_speech.config.stages.pack_shards import PackShardsConfig
from megatron_speech.config.stages.text_corpus import TextCorpusConfig
from megatron_speech.config.stages.tokenize_text import TokenizeTextConfig
from megatron_speech.corpus.records import read_jsonl
from megatron_speech.data.packing.pack import pack_shards
from megatron_speech.data.shards.documents import read_documents
from megatron_speech.data.shards.inspect import inspect_shards
from megatron_speech.data.shards.verify import verify_folder
from megatron_speech.text_tokenizer.tokenizer import TextTokenizer
from megatron_speech.text_tokenizer.vocabulary_folder import build_vocabulary
from megatron_speech.tokenize_text.run import tokenize_text
from tests.toys import write_jsonl

GOOD = {"id": "a", "text": "Hello, ☃.", "metadata": {"title": "T"}}


def test_documents_are_read_in_order(tmp_path: Path):
    documents = list(read_jsonl(write_jsonl(tmp_path / "c.jsonl", GOOD, {"id": "b", "text": "x"})))
    assert [(d.id, d.text, d.metadata) for d in documents] == [("a", "Hello, ☃.", {"title": "T"}), ("b", "x", {})]


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ("{not json", "not JSON"),
        ("", "not JSON"),
        ("[1]", "a JSON list, not an object"),
        ({"id": "b", "text": " \n"}, "text=.* must be a string that is not blank"),
        ({"id": "b", "content": "x"}, "text=None must be .*; its keys are id, content; set text_key, or fix or drop"),
        ({"id": "b"}, "text=None must be"),
        ({"id": 3.0, "text": "x"}, "id=3.0 must be .*, or an integer"),
        ({"id": True, "text": "x"}, "id=True must be"),
        ({"id": None, "text": "x"}, "id=None must be"),
        ({"id": "b", "text": "x", "metadata": []}, "metadata=.* must be an object"),
        (GOOD, "already stands in line 1"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: object, rule: str):
    path = write_jsonl(tmp_path / "c.jsonl", GOOD, line)
    with pytest.raises(ValueError, match=rf"c.jsonl:2: .*{rule}"):
        list(read_jsonl(path))


def test_missing_and_empty_corpora_are_named(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match=r"c.jsonl does not exist"):
        list(read_jsonl(tmp_path / "c.jsonl"))
    (tmp_path / "c.jsonl").write_text("")
    with pytest.raises(ValueError, match=r"c.jsonl: the corpus holds no document"):
        list(read_jsonl(tmp_path / "c.jsonl"))


def test_text_to_packed_rows_and_back(tmp_path: Path):
    texts = {f"d{index}": f"Text {index} with <|audio_1|> and <|endoftext|>. " * (1 + index % 3) for index in range(20)}
    one = write_jsonl(tmp_path / "one.jsonl", *({"id": key, "text": text} for key, text in texts.items()))
    two = write_jsonl(tmp_path / "two.jsonl", {"id": "first", "text": "kept"}, {"id": "second", "text": "left out"})
    build_vocabulary(BuildVocabularyConfig(output=tmp_path / "vocabulary", codebook_size=8))
    config = TokenizeTextConfig(
        corpora={"one": TextCorpusConfig(path=one), "two": TextCorpusConfig(path=two, max_documents=1)},
        vocabulary=tmp_path / "vocabulary",
        output=tmp_path / "documents",
    )
    tokenize_text(config)
    tokenize_text(config)  # is skipped
    tokenizer = TextTokenizer.load(tmp_path / "vocabulary")
    read = {found.key: tokenizer.decode(found.tokens.tolist()) for found in read_documents(tmp_path / "documents")}
    assert read == {**texts, "first": "kept"}
    pack_shards(PackShardsConfig(input=tmp_path / "documents", output=tmp_path / "packed", seq_length=64))
    facts = read_manifest(tmp_path / "packed").facts
    assert facts["documents"] == 21
    assert facts["rows"] * 64 == facts["tokens"] + facts["padding"]  # the padding behind the last label included
    for folder in ("documents", "packed"):
        config_shown = InspectShardsConfig(folder=tmp_path / folder, tokenizer=tmp_path / "vocabulary")
        lines = list(inspect_shards(config_shown))
        assert "text 100.0%" in "\n".join(lines)
        assert not list(verify_folder(tmp_path / folder, ids=True))
    build_vocabulary(BuildVocabularyConfig(output=tmp_path / "other", codebook_size=9))
    with pytest.raises(ValueError, match=r"tokenizer=.*other is of vocabulary"):
        list(inspect_shards(InspectShardsConfig(folder=tmp_path / "packed", tokenizer=tmp_path / "other")))


def test_nothing_half_written_appears_under_its_name(tmp_path: Path):
    build_vocabulary(BuildVocabularyConfig(output=tmp_path / "vocabulary", codebook_size=0))
    corpus = write_jsonl(tmp_path / "c.jsonl", GOOD, "{")
    config = TokenizeTextConfig(
        corpora={"c": TextCorpusConfig(path=corpus)}, vocabulary=tmp_path / "vocabulary", output=tmp_path / "documents"
    )
    with pytest.raises(ValueError, match=r"c.jsonl:2"):
        tokenize_text(config)
    assert not (tmp_path / "documents").exists()
    write_jsonl(corpus, GOOD)
    tokenize_text(config)
    assert np.concatenate([document.tokens for document in read_documents(tmp_path / "documents")]).max() < 256


def test_ids_must_differ_between_corpora(tmp_path: Path):
    build_vocabulary(BuildVocabularyConfig(output=tmp_path / "vocabulary", codebook_size=0))
    corpora = {name: TextCorpusConfig(path=write_jsonl(tmp_path / f"{name}.jsonl", GOOD)) for name in ("one", "two")}
    config = TokenizeTextConfig(corpora=corpora, vocabulary=tmp_path / "vocabulary", output=tmp_path / "documents")
    with pytest.raises(ValueError, match=r"two.jsonl:1: its id already stands at .*one.jsonl:1"):
        tokenize_text(config)
