"""Text that a tokenizer loses is counted, told by example and limited; what loses nothing is told so."""

import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from megatron_speech.artifacts.manifest import read_manifest
from megatron_speech.config.stages.build_vocabulary import BuildVocabularyConfig
from megatron_speech.config.stages.text_corpus import TextCorpusConfig
from megatron_speech.config.stages.tokenize_text import TokenizeTextConfig
from megatron_speech.text_tokenizer.text_loss import EVERY, FIRST_DOCUMENTS, LONGEST, TextLoss
from megatron_speech.text_tokenizer.tokenizer import TextTokenizer
from megatron_speech.text_tokenizer.vocabulary_folder import build_vocabulary
from megatron_speech.tokenize_text.run import tokenize_text
from tests.toys import write_jsonl

ENGLISH = "the quick brown fox jumps over a lazy dog"


def _folder(folder: Path, tokenizer: Tokenizer, end: str) -> Path:
    folder.mkdir()
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": end}))
    return folder


def _letters(folder: Path, model: str) -> Path:
    """A tokenizer of lower-case letters without bytes to fall back on."""
    pieces = ["<unk>", "</s>", *sorted(set(ENGLISH))]
    built = {
        "BPE": lambda: models.BPE({piece: n for n, piece in enumerate(pieces)}, [], unk_token="<unk>"),
        "WordPiece": lambda: models.WordPiece({piece: n for n, piece in enumerate(pieces)}, unk_token="<unk>"),
        "Unigram": lambda: models.Unigram([(piece, -1.0) for piece in pieces], unk_id=0),
    }
    tokenizer = Tokenizer(built[model]())
    if model == "WordPiece":
        tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer.add_special_tokens(["<unk>", "</s>"])
    return _folder(folder, tokenizer, "</s>")


def _bytes(folder: Path, normalizer: Any) -> Path:
    tokenizer = TextTokenizer.load("bytes").backend
    tokenizer.normalizer = normalizer
    return _folder(folder, tokenizer, "<|endoftext|>")


def _vocabulary(folder: Path, text: Path | str, share: float = 0.1) -> Path:
    build_vocabulary(
        BuildVocabularyConfig(output=folder / "vocabulary", text=str(text), codebook_size=4, max_lost_share=share)
    )
    return folder / "vocabulary"


@pytest.mark.parametrize("model", ["BPE", "WordPiece", "Unigram"])
def test_a_tokenizer_that_loses_other_scripts_is_refused_and_counted(tmp_path: Path, model: str) -> None:
    folder = _letters(tmp_path / "letters", model)
    rule = r"text=.*letters, on texts in many scripts: \d+ of \d+ characters \(.*%\) do not come back .* most often '"
    with pytest.raises(ValueError, match=rule + ".*more than max_lost_share=0.1: use a tokenizer with byte fallback"):
        _vocabulary(tmp_path, folder)
    assert not (tmp_path / "vocabulary").exists()
    probe = read_manifest(_vocabulary(tmp_path, folder, share=1.0)).facts["probe"]
    assert probe["unknown_tokens"] > 30 and probe["characters_lost"] > 50 and probe["most_lost"]


def test_a_tokenizer_that_loses_nothing_is_told_so(tmp_path: Path) -> None:
    probe = read_manifest(_vocabulary(tmp_path, "bytes", share=0.0)).facts["probe"]
    assert probe["characters_checked"] > 200
    assert (probe["characters_lost"], probe["documents_changed"], probe["unknown_tokens"]) == (0, 0, 0)


def _tokenized(folder: Path, vocabulary: Path, texts: list[str], **changes: Any) -> dict[str, Any]:
    path = write_jsonl(folder / "c.jsonl", *({"id": n, "text": text} for n, text in enumerate(texts)))
    corpora = {"c": TextCorpusConfig(path=path)}
    tokenize_text(TokenizeTextConfig(corpora=corpora, vocabulary=vocabulary, output=folder / "documents", **changes))
    return read_manifest(folder / "documents").facts["corpora"]["c"]["text_loss"]


@pytest.mark.parametrize(
    ("normalizer", "text", "lost", "changed"),
    [
        (normalizers.Lowercase(), "A Big DOG", "AGODB", 1),
        (normalizers.NFKC(), "x² ﬁ", "²ﬁ", 1),
        (normalizers.Sequence([normalizers.NFD(), normalizers.StripAccents()]), "café Ö", "éÖ", 1),
        (normalizers.Replace("\n", ""), "a\nb\nc", "\n\n", 1),
        (normalizers.Replace("a", "aa"), "banana", "", 1),
        (normalizers.NFC(), "cafe\u0301", "e\u0301", 1),
        (normalizers.NFC(), "café", "", 0),
    ],
)
def test_what_a_normaliser_changes_is_counted(
    tmp_path: Path, normalizer: Any, text: str, lost: str, changed: int
) -> None:
    vocabulary = _vocabulary(tmp_path, _bytes(tmp_path / "base", normalizer), share=1.0)
    found = _tokenized(tmp_path, vocabulary, [text], max_lost_share=1.0)
    assert (found["documents_changed"], found["characters_lost"]) == (changed, len(lost))
    assert sum(found["most_lost"].values()) == len(lost) and set(found["most_lost"]) == set(lost)


def test_a_corpus_that_loses_too_much_is_refused_and_a_raised_share_goes_on(tmp_path: Path) -> None:
    vocabulary = _vocabulary(tmp_path, _letters(tmp_path / "letters", "BPE"), share=1.0)
    texts = [ENGLISH] * 50 + ["the fox saw 狐狸 and 狐"]
    rule = r"corpora.c by the text tokenizer of vocabulary=.*: 3 of 2070 characters .* most often '狐' 2, '狸' 1;"
    with pytest.raises(ValueError, match=rule):
        _tokenized(tmp_path, vocabulary, texts, max_lost_share=0.001)
    assert not (tmp_path / "documents").exists()
    found = _tokenized(tmp_path, vocabulary, texts, max_lost_share=0.01)
    assert (found["unknown_tokens"], found["characters_lost"]) == (3, 3)


def test_unknown_tokens_are_counted_in_every_document_and_others_by_a_sample(tmp_path: Path) -> None:
    tokenizer = TextTokenizer.load(_letters(tmp_path / "letters", "BPE"))
    loss = TextLoss(tokenizer)
    count = FIRST_DOCUMENTS + 10 * EVERY
    for _ in range(count):
        loss.count("fox 狐", np_ids := tokenizer.encode("fox 狐"))
    facts = loss.facts()
    assert facts.unknown_tokens == count == sum(number == 0 for number in np_ids) * count
    assert facts.documents_checked == facts.characters_lost == FIRST_DOCUMENTS + 10
    loss.count("狐" + "x" * (LONGEST + 5), tokenizer.encode("狐" + "x" * (LONGEST + 5)))
    for _ in range(EVERY):
        loss.count("x" * (LONGEST + 5), tokenizer.encode("x" * (LONGEST + 5)))
    assert loss.facts().characters_checked == facts.characters_checked + LONGEST  # the beginning of a long one
