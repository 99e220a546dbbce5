"""Long texts: the ids of the whole in memory that is bounded."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from megatron_speech.text_tokenizer.long_text import encode_long
from megatron_speech.text_tokenizer.raw_text import raw_text_encoder
from megatron_speech.text_tokenizer.tokenizer import TextTokenizer

WORDS = [
    "the ",
    "quick",
    " brown",
    "fox's",
    " ",
    "\n\n",
    "    ",
    "12345",
    "aaaa",
    "naïve ",
    "北京",
    "🙂",
    "e\u0301",
    "<s>",
]


def _trained(kind: str) -> Tokenizer:
    texts = ["".join(WORDS[n % len(WORDS)] for n in range(start, start + 40, 3)) for start in range(40)]
    if kind == "byte-level BPE":
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(vocab_size=330, initial_alphabet=alphabet, show_progress=False)
    else:  # as SentencePiece: no cut between words, a mark before the text
        tokenizer = Tokenizer(models.BPE(unk_token="<unk>") if kind == "one-word BPE" else models.Unigram())
        tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
        tokenizer.decoder = decoders.Replace("▁", " ")
        special = ["<unk>"]
        trainer = (
            trainers.BpeTrainer(vocab_size=120, special_tokens=special, show_progress=False, max_token_length=8)
            if kind == "one-word BPE"
            else trainers.UnigramTrainer(
                vocab_size=80, special_tokens=special, unk_token="<unk>", max_piece_length=8, show_progress=False
            )
        )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_tokens(["    ", "fox"])
    return raw_text_encoder(tokenizer)[0]


KINDS = ("byte-level BPE", "one-word BPE", "Unigram", "bytes")
ENCODERS = {kind: _trained(kind) for kind in KINDS[:3]} | {"bytes": TextTokenizer.load("bytes").encoder}


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=60, deadline=None)
@given(words=st.lists(st.sampled_from(WORDS), max_size=150), repeats=st.integers(1, 8))
def test_pieces_give_the_ids_of_the_whole(kind: str, words: list[str], repeats: int) -> None:
    if kind == "Unigram":  # cuts of a text that repeats itself may be equally likely
        words = [f"{word} {place} " for place, word in enumerate(words * repeats)]
    text = "".join(words) * (1 if kind == "Unigram" else repeats)
    found = encode_long(ENCODERS[kind], text, piece=256, overlap=64, agreeing=8)
    assert found.tolist() == ENCODERS[kind].encode(text, add_special_tokens=False).ids


RUNS = ["a" * 5000, "ab" * 2500, "0123456789" * 500, " " * 5000, "x" + "a" * 4999, "京" * 3000]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("text", RUNS)
def test_a_text_without_any_word_comes_back_as_well(kind: str, text: str) -> None:
    found = encode_long(ENCODERS[kind], text, piece=256, overlap=64, agreeing=8).tolist()
    whole = ENCODERS[kind].encode(text, add_special_tokens=False).ids
    if kind == "Unigram":
        assert ENCODERS[kind].decode(found) == ENCODERS[kind].decode(whole)
    else:
        assert found == whole


PROGRAM = """
import json, resource, sys
from pathlib import Path
from megatron_speech.config.stages.text_corpus import TextCorpusConfig
from megatron_speech.config.stages.tokenize_text import TokenizeTextConfig
from megatron_speech.config.stages.build_vocabulary import BuildVocabularyConfig
from megatron_speech.tokenize_text.run import tokenize_text
from megatron_speech.text_tokenizer.vocabulary_folder import build_vocabulary

folder, characters = Path(sys.argv[1]), int(sys.argv[2])
build_vocabulary(BuildVocabularyConfig(output=folder / "vocabulary", codebook_size=4))
(folder / "c.jsonl").write_text(json.dumps({"id": "a", "text": "some words " * (characters // 11)}))
corpora = {"c": TextCorpusConfig(path=folder / "c.jsonl")}
tokenize_text(TokenizeTextConfig(corpora=corpora, vocabulary=folder / "vocabulary", output=folder / "out"))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


def test_one_huge_document_takes_a_small_multiple_of_its_bytes(tmp_path: Path) -> None:
    """Every byte is a token, the worst case; an encoding of it would take 150 bytes."""
    sizes = (3_000_000, 12_000_000)
    peaks = []
    for size in sizes:
        (tmp_path / str(size)).mkdir()
        command = [sys.executable, "-c", PROGRAM, str(tmp_path / str(size)), str(size)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        peaks.append(json.loads(done.stdout.splitlines()[-1]))
    assert (peaks[1] - peaks[0]) / (sizes[1] - sizes[0]) < 40
