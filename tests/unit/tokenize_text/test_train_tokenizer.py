"""Trained text tokenizers: sentencepiece's own ids after export, text given back, speech ids behind."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest
import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st

from megatron_speech.artifacts.manifest import read_manifest
from megatron_speech.config.stages.build_vocabulary import BuildVocabularyConfig
from megatron_speech.config.stages.text_corpus import TextCorpusConfig
from megatron_speech.config.stages.tokenize_text import TokenizeTextConfig
from megatron_speech.config.stages.train_text_tokenizer import TrainTextTokenizerConfig
from megatron_speech.data.shards.documents import read_documents
from megatron_speech.text_tokenizer.sentencepiece_model import convert_sentencepiece
from megatron_speech.text_tokenizer.tokenizer import TextTokenizer
from megatron_speech.text_tokenizer.vocabulary_folder import build_vocabulary
from megatron_speech.tokenize_text.run import tokenize_text
from megatron_speech.tokenize_text.train_tokenizer import SPACE, draw_documents, train_model, train_text_tokenizer
from megatron_speech.vocabulary import Vocabulary
from tests.toys import write_jsonl

WORDS = [
    "the",
    "of",
    "Paris",
    "1,234",
    "naïve",
    "北京",
    "мир",
    "speech",
    "token\nnew",
    "line\ttab",
    "",
    "🙂",
    "==",
    "aaa",
]
KINDS = ["bpe", "unigram"]


def texts(count: int = 200) -> list[str]:
    rng = random.Random(0)
    return [" ".join(rng.choice(WORDS) for _ in range(rng.randrange(1, 30))) or "x" for _ in range(count)]


def config_of(tmp_path: Path, kind: str = "bpe", **changes: object) -> TrainTextTokenizerConfig:
    lines = [{"id": str(n), "text": text} for n, text in enumerate(texts()) if text.strip()]
    corpus = TextCorpusConfig(path=write_jsonl(tmp_path / "corpus.jsonl", *lines), language="mul")
    config = TrainTextTokenizerConfig(
        corpora={"toy": corpus}, output=tmp_path / kind, model_type=kind, vocab_size=300, test_documents=40, threads=1
    )
    return replace(config, **changes)


@pytest.mark.parametrize("kind", KINDS)
def test_text_comes_back_through_vocabulary_and_shards(tmp_path: Path, kind: str):
    config = config_of(tmp_path, kind, special_tokens=["<|system|>"])
    train_text_tokenizer(config)
    train_text_tokenizer(config)  # is skipped
    build_vocabulary(BuildVocabularyConfig(output=tmp_path / "v", text=str(tmp_path / kind), codebook_size=9))
    vocabulary, tokenizer = Vocabulary.load(tmp_path / "v"), TextTokenizer.load(tmp_path / "v")
    reference = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / kind / "tokenizer.model"))
    assert vocabulary.num_text_ids == reference.vocab_size() == 300
    assert (vocabulary.first_speech_id, vocabulary.size, vocabulary.padded_size) == (304, 313, 384)
    assert vocabulary.end_of_document == reference.eos_id()
    assert tokenizer.backend.token_to_id("<|audio_0|>") == 304

    @settings(max_examples=150, deadline=None)
    @given(text=st.text(alphabet=st.characters(exclude_characters=SPACE, exclude_categories=["Cs"]), max_size=40))
    def comes_back(text: str):
        ids = tokenizer.encode(text)
        assert ids == reference.encode(text)
        assert tokenizer.decode(ids) == text
        assert not {reference.bos_id(), reference.eos_id(), reference.unk_id(), 3} & set(ids)

    comes_back()
    assert tokenizer.decode(tokenizer.encode(f"a{SPACE}b <|system|>")) == "a b <|system|>"  # the one exception
    tokenize_text(TokenizeTextConfig(corpora=config.corpora, vocabulary=tmp_path / "v", output=tmp_path / "documents"))
    found = {
        document.key: tokenizer.decode(document.tokens.tolist()) for document in read_documents(tmp_path / "documents")
    }
    assert found == {str(n): text for n, text in enumerate(texts()) if text.strip()}


def test_the_manifest_says_what_was_measured(tmp_path: Path):
    train_text_tokenizer(config_of(tmp_path))
    facts = read_manifest(tmp_path / "bpe").facts
    drawn = draw_documents(config_of(tmp_path))
    test, sample = drawn.test, drawn.sample
    assert facts["training"]["documents"] == len(sample) and facts["test"]["documents"] == 40
    assert facts["test"]["text_bytes"] == sum(len(document.text.encode()) for document in test)
    assert facts["test"]["bytes_per_token"] == round(facts["test"]["text_bytes"] / facts["test"]["tokens"], 4)
    assert facts["test"]["equal_ids"] and facts["test"]["documents_given_back"] == 40
    assert facts["test"]["unknown_rate"] == 0 < facts["test"]["byte_rate"] + 1
    assert facts["corpora"] == {"toy": {"licence": None, "language": "mul"}}
    assert not {document.id for document in test} & {document.id for document in sample}


def test_the_draw_depends_on_ids_and_seed_alone(tmp_path: Path):
    config = config_of(tmp_path, sample_documents=50, max_bytes=30)
    drawn = draw_documents(config)
    test, sample = drawn.test, drawn.sample
    assert (len(test), len(sample)) == (40, 50)
    assert max(len(document.text.encode()) for document in sample) <= 30
    lines = (tmp_path / "corpus.jsonl").read_text().splitlines()
    write_jsonl(tmp_path / "corpus.jsonl", *reversed(lines))
    assert draw_documents(config) == drawn
    assert draw_documents(replace(config, seed=1)) != drawn
    with pytest.raises(ValueError, match="test_documents=900 are held out: none is left for training; lower it"):
        draw_documents(replace(config, test_documents=900))


@pytest.mark.parametrize(("documents", "held_out"), [(2, 1), (150, 1), (450, 4)])
def test_one_document_in_a_hundred_is_held_out(tmp_path: Path, documents: int, held_out: int):
    config = config_of(tmp_path, test_documents=None)
    write_jsonl(tmp_path / "corpus.jsonl", *({"id": n, "text": "x"} for n in range(documents)))
    drawn = draw_documents(config)
    assert (len(drawn.test), len(drawn.sample)) == (held_out, documents - held_out)


def test_what_is_held_out_and_left_out_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    config = config_of(tmp_path, test_documents=None)
    count = len((tmp_path / "corpus.jsonl").read_text().splitlines())
    with (tmp_path / "corpus.jsonl").open("a") as file:
        file.write("{\n[]\n")
    with pytest.raises(ValueError, match=rf"corpus.jsonl:{count + 1}: not JSON"):
        train_text_tokenizer(config)
    config = replace(config, on_bad_line="count")
    rule = rf"2 of {count + 2} lines are unusable \(no object 1, not JSON 1\), more than max_quarantined_share=0.005"
    with pytest.raises(ValueError, match=rule):
        train_text_tokenizer(replace(config, max_quarantined_share=0.005))
    with caplog.at_level("INFO"):
        train_text_tokenizer(replace(config, max_quarantined_share=0.02))
    assert f"{count - 2} documents to train on, 2 held out to test" in caplog.messages
    assert caplog.messages[-1].endswith("lines left out: no object 1, not JSON 1")
    assert read_manifest(config.output).facts["dropped"] == {"no object": 1, "not JSON": 1}


def test_equal_cuts_are_decided_alike(tmp_path: Path):
    """Without rounding, the two libraries choose differently between `aa|a` and `a|aa`."""
    rng = random.Random(1)
    repeats = [
        "".join(rng.choice("ab=.0l ") * rng.randrange(1, 12) for _ in range(rng.randrange(1, 14))) for _ in range(600)
    ]
    path = tmp_path / "m.model"
    config = config_of(tmp_path, "unigram", vocab_size=300)
    path.write_bytes(train_model(config, repeats[:300]))
    tokenizer, _ = convert_sentencepiece(path)
    reference = sentencepiece.SentencePieceProcessor(model_file=str(path))
    for text in repeats[300:]:
        assert tokenizer.encode(text, add_special_tokens=False).ids == reference.encode(text), text


def test_a_difference_names_the_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    original = TextTokenizer.encode
    monkeypatch.setattr(TextTokenizer, "encode", lambda self, text: original(self, text)[:-1])
    with pytest.raises(ValueError, match=r"differs from sentencepiece on document '\d+', token \d+: \[\], not \["):
        train_text_tokenizer(config_of(tmp_path))
    assert not (tmp_path / "bpe").exists()


def test_impossible_settings_are_one_line(tmp_path: Path):
    for model_type in ("bpe", "unigram"):
        with pytest.raises(ValueError, match=r"^vocab_size=9000 must be at most \d+, .*; lower it, or give more text$"):
            train_text_tokenizer(config_of(tmp_path, model_type, vocab_size=9000))
        with pytest.raises(ValueError, match=r"^vocab_size=99 must be at least \d+, .*character_coverage=0\.9995$"):
            train_text_tokenizer(config_of(tmp_path, model_type, vocab_size=99))
    for token in ("<|audio_3|>", " "):
        with pytest.raises(ValueError, match=r"special_tokens: .* must be a name"):
            config_of(tmp_path, special_tokens=[token])
    with pytest.raises(ValueError, match=r"document '\d+' does not come back from its ids; set byte_fallback: true"):
        train_text_tokenizer(config_of(tmp_path, byte_fallback=False, vocab_size=90, character_coverage=0.98))
