"""One beginning for every document and prompt of a run: text, interleaved, recognition, synthesis, evaluation."""

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from tokenizers import AddedToken, Tokenizer, processors

from megatron_speech.config.stages.build_vocabulary import BuildVocabularyConfig
from megatron_speech.config.stages.pack_shards import PackShardsConfig
from megatron_speech.config.stages.text_corpus import TextCorpusConfig
from megatron_speech.config.stages.tokenize_text import TokenizeTextConfig
from megatron_speech.data.packing.pack import pack_shards
from megatron_speech.data.shards.documents import read_documents
from megatron_speech.data.shards.verify import verify_folder
from megatron_speech.evaluation.tasks.likelihood import PAIRS, SpokenText, request_of
from megatron_speech.interleave.compose import Piece, compose
from megatron_speech.sequences.speech_tasks import recognition_document, recognition_prompt, synthesis_document
from megatron_speech.text_tokenizer.tokenizer import TextTokenizer
from megatron_speech.text_tokenizer.vocabulary_folder import build_vocabulary
from megatron_speech.tokenize_text.run import tokenize_text
from megatron_speech.vocabulary import Vocabulary
from tests.toys import write_jsonl

BOS = 257


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Vocabulary folder of bytes whose tokenizer itself puts <|begin|> before a text."""
    folder = tmp_path_factory.mktemp("begin")
    TextTokenizer.load("bytes").save(folder / "base")
    tokenizer = Tokenizer.from_file(str(folder / "base" / "tokenizer.json"))
    tokenizer.add_special_tokens([AddedToken("<|begin|>", special=True)])
    tokenizer.post_processor = processors.TemplateProcessing(single="<|begin|> $A", special_tokens=[("<|begin|>", BOS)])
    tokenizer.save(str(folder / "base" / "tokenizer.json"))
    build_vocabulary(BuildVocabularyConfig(output=folder / "vocabulary", text=str(folder / "base"), codebook_size=8))
    return folder / "vocabulary"


def test_every_document_and_prompt_begins_alike(folder: Path, tmp_path: Path) -> None:
    vocabulary, tokenizer = Vocabulary.load(folder), TextTokenizer.load(folder)
    assert vocabulary.begin_of_document == tokenizer.begin_of_document == (BOS,)
    assert BOS not in tokenizer.encode("a <|begin|> b")
    codes = np.array([1, 2])
    piece = Piece("said", (0, 1), (0, 4), True, "prose")
    composed = compose([piece], {0: codes}, encode=tokenizer.encode, vocabulary=vocabulary)
    first, end = composed.spans[0].tokens
    assert composed.tokens[first:end].tolist() == (codes + vocabulary.first_speech_id).tolist()
    task: dict[str, Any] = {"text_ids": [5], "codes": codes, "vocabulary": vocabulary}
    recognition = recognition_document("a", **task)
    assert recognition.target_start == len(recognition_prompt(codes, vocabulary=vocabulary))
    model: Any = SimpleNamespace(vocabulary=vocabulary, tokenizer=tokenizer)
    said = SpokenText("said", codes)
    begun = [composed.tokens, recognition.tokens, synthesis_document("a", **task).tokens]
    begun += [np.array(request_of(model, said, said, pair)[0]) for pair in PAIRS]
    corpus = TextCorpusConfig(path=write_jsonl(tmp_path / "c.jsonl", {"id": "a", "text": "x <|begin|>"}))
    tokenize_text(TokenizeTextConfig(corpora={"c": corpus}, vocabulary=folder, output=tmp_path / "documents"))
    begun += [document.tokens for document in read_documents(tmp_path / "documents")]
    assert all(tokens[0] == BOS and BOS not in tokens[1:] for tokens in begun)
    pack_shards(PackShardsConfig(input=tmp_path / "documents", output=tmp_path / "packed", seq_length=16))
    assert not list(verify_folder(tmp_path / "packed", ids=True))


def test_a_document_that_has_no_token_is_not_one_of_its_beginning_alone(folder: Path) -> None:
    vocabulary = Vocabulary.load(folder)
    composed = compose([Piece("", (0, 1), (0, 0), False, "prose")], {}, encode=lambda text: [], vocabulary=vocabulary)
    assert not len(composed.tokens)


def test_another_beginning_is_another_vocabulary_and_none_is_as_before(folder: Path) -> None:
    vocabulary = Vocabulary.load(folder)
    none = dataclasses.replace(vocabulary, begin_of_document=())
    assert none.fingerprint != vocabulary.fingerprint
    assert Vocabulary.from_json(vocabulary.to_json()) == vocabulary
    assert "begin_of_document" not in none.to_json()  # what was written before there was a beginning is read the same
    assert Vocabulary.from_json(json.loads(json.dumps(none.to_json()))) == none


@pytest.mark.parametrize("begin", [(256,), (300,), (-1,)])
def test_an_impossible_beginning_is_refused(begin: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"begin_of_document=.* must be text ids below 258"):
        Vocabulary(num_text_ids=258, num_speech_ids=1, end_of_document=256, begin_of_document=begin)
