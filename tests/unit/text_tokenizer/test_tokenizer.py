"""Text tokenizers: raw text never becomes a special id, exports agree with transformers, SentencePiece with itself."""

import json
from pathlib import Path

import pytest
import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

from megatron_speech.artifacts.manifest import read_manifest
from megatron_speech.config.stages.build_vocabulary import BuildVocabularyConfig
from megatron_speech.text_tokenizer.sentencepiece_model import PROBES
from megatron_speech.text_tokenizer.tokenizer import TextTokenizer
from megatron_speech.text_tokenizer.vocabulary_folder import build_vocabulary
from megatron_speech.vocabulary import Vocabulary

HOSTILE = "a <|audio_5|> b <|im_start|>c<|endoftext|> <|begin_of_audio|> <tool> </s> <s>"
BYTES = TextTokenizer.load("bytes")


def _bpe_folder(folder: Path) -> Path:
    """A Hugging Face folder with special tokens first, as SmolLM2 has them, and one added token that is not special."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<|endoftext|>", "<|im_start|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([HOSTILE, *PROBES] * 3, trainer)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_tokens([AddedToken("<tool>", special=False)])
    folder.mkdir()
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": "<|im_start|>"}))
    return folder


@given(text=st.text(max_size=60))
def test_bytes_are_ids_and_come_back(text: str):
    ids = BYTES.encode(text)
    assert ids == list(text.encode())
    assert BYTES.decode(ids) == text
    assert (BYTES.size, BYTES.end_of_document) == (257, 256)


@pytest.mark.parametrize("kind", ["bytes", "bpe"])
def test_spelt_out_special_tokens_stay_text(tmp_path: Path, kind: str):
    source = "bytes" if kind == "bytes" else str(_bpe_folder(tmp_path / "hf"))
    config = BuildVocabularyConfig(
        output=tmp_path / "vocabulary", text=source, codebook_size=9, end_of_document="<|endoftext|>"
    )
    build_vocabulary(config)
    plain, extended = TextTokenizer.load(source, end_of_document="<|endoftext|>"), TextTokenizer.load(config.output)
    reserved = {number for number, token in plain.backend.get_added_tokens_decoder().items() if token.special}
    for tokenizer in (plain, extended):
        ids = tokenizer.encode(HOSTILE)
        assert not reserved & set(ids) and max(ids) < plain.size
        assert tokenizer.decode(ids) == HOSTILE
        assert tokenizer.encode_batch([HOSTILE, "x"]) == [ids, tokenizer.encode("x")]
    assert extended.encode(HOSTILE) == plain.encode(HOSTILE)
    assert (extended.size, extended.end_of_document) == (plain.size, plain.end_of_document)
    assert extended.fingerprint == plain.fingerprint == Vocabulary.load(config.output).text_fingerprint


@pytest.mark.parametrize("kind", ["bytes", "bpe"])
def test_transformers_agrees_id_by_id(tmp_path: Path, kind: str):
    from transformers import AutoTokenizer

    source = "bytes" if kind == "bytes" else str(_bpe_folder(tmp_path / "hf"))
    config = BuildVocabularyConfig(output=tmp_path / "v", text=source, codebook_size=9, end_of_document="<|endoftext|>")
    build_vocabulary(config)
    vocabulary, ours = Vocabulary.load(tmp_path / "v"), TextTokenizer.load(tmp_path / "v")
    theirs = AutoTokenizer.from_pretrained(tmp_path / "v")
    assert len(theirs) == vocabulary.size
    own = "<|im_start|>" if kind == "bpe" else "<|endoftext|>"
    assert theirs.eos_token == own, "the role stays with the token that had it, whatever closes documents"
    for token in vocabulary.special_tokens:
        assert theirs.convert_tokens_to_ids(token) == vocabulary.special_id(token)
    codes = [vocabulary.speech_token(code) for code in range(9)]
    assert theirs.convert_tokens_to_ids(codes) == [vocabulary.speech_id(code) for code in range(9)]
    for text in PROBES:
        if "<|audio_5|>" in text:
            continue  # transformers parses it: there it is a prompt, here it is raw text
        assert theirs(text, add_special_tokens=False).input_ids == ours.encode(text)
        assert theirs.decode(ours.encode(text)) == text
    mixed = [*ours.encode("say"), vocabulary.special_id("<|begin_of_audio|>"), vocabulary.speech_id(3)]
    assert ours.decode(mixed) == theirs.decode(mixed) == "say<|begin_of_audio|><|audio_3|>"


@pytest.mark.parametrize("model_type", ["unigram", "bpe"])
@pytest.mark.parametrize("byte_fallback", [False, True])
def test_sentencepiece_models_keep_their_ids(tmp_path: Path, model_type: str, byte_fallback: bool):
    vocab_size = 420 + 256 * byte_fallback
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("\n".join(f"{probe} line {n}".replace("\n", " ") for n in range(30) for probe in PROBES))
    sentencepiece.SentencePieceTrainer.train(
        input=str(corpus), model_prefix=str(tmp_path / "m"), vocab_size=vocab_size, minloglevel=2,
        model_type=model_type, byte_fallback=byte_fallback, hard_vocab_limit=False,
    )  # fmt: skip
    tokenizer = TextTokenizer.load(tmp_path / "m.model")
    reference = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "m.model"))
    assert tokenizer.size == reference.vocab_size()
    assert tokenizer.end_of_document == reference.eos_id()

    @settings(max_examples=60, deadline=None)
    @given(text=st.text(alphabet="abc naïve北京🙂,.12 \u3000é", min_size=1, max_size=40))
    def agrees(text: str):
        ours, theirs = tokenizer.encode(text), reference.encode(text)
        assert (sorted(ours), len(ours)) == (sorted(theirs), len(theirs))  # cuts of equal score may differ in order
        assert model_type == "unigram" or ours == theirs

    agrees()
    assert not {reference.bos_id(), reference.eos_id()} & set(tokenizer.encode(HOSTILE))
    assert tokenizer.decode(tokenizer.encode("line 7")) == "line 7"


@pytest.mark.parametrize("model_type", ["unigram", "bpe"])
def test_symbols_that_a_sentencepiece_model_defines_keep_their_ids(tmp_path: Path, model_type: str):
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("\n".join(f"{probe} line {n}".replace("\n", " ") for n in range(30) for probe in PROBES))
    sentencepiece.SentencePieceTrainer.train(
        input=str(corpus), model_prefix=str(tmp_path / "m"), vocab_size=700, minloglevel=2, model_type=model_type,
        byte_fallback=True, hard_vocab_limit=False, normalization_rule_name="identity",
        remove_extra_whitespaces=False, user_defined_symbols=["<tool>", "▁▁▁▁", "▁▁▁▁▁▁▁▁"],
    )  # fmt: skip
    tokenizer = TextTokenizer.load(tmp_path / "m.model")
    reference = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "m.model"))
    assert reference.piece_to_id("<tool>") in tokenizer.encode("a<tool>b")

    @settings(max_examples=100, deadline=None)
    @given(parts=st.lists(st.sampled_from(["<tool>", " ", "    ", "line", "a", "é", "<0x41>", "<tool"]), max_size=12))
    def agrees(parts: list[str]):
        ours, theirs = tokenizer.encode("".join(parts)), reference.encode("".join(parts))
        assert (sorted(ours), len(ours)) == (sorted(theirs), len(theirs))  # cuts of equal score may differ in order

    agrees()


def test_a_folder_may_hold_a_sentencepiece_model_alone(tmp_path: Path):
    (tmp_path / "corpus.txt").write_text("\n".join(f"{probe} line".replace("\n", " ") for probe in PROBES * 20))
    sentencepiece.SentencePieceTrainer.train(
        input=str(tmp_path / "corpus.txt"), model_prefix=str(tmp_path / "tokenizer"), vocab_size=500, minloglevel=2,
        model_type="bpe", byte_fallback=True, hard_vocab_limit=False,
    )  # fmt: skip
    (tmp_path / "tokenizer_config.json").write_text('{"add_bos_token": true, "bos_token": "<s>", "eos_token": "</s>"}')
    build_vocabulary(BuildVocabularyConfig(output=tmp_path / "vocabulary", text=str(tmp_path), codebook_size=4))
    reference = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "tokenizer.model"))
    tokenizer = TextTokenizer.load(tmp_path / "vocabulary")
    assert tokenizer.encode("line 7") == reference.encode("line 7")
    assert tokenizer.begin_of_document == (reference.bos_id(),)
    assert str(tmp_path / "tokenizer.model") in read_manifest(tmp_path / "vocabulary").inputs


def test_unusable_tokenizers_are_named(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match=r"nowhere: no tokenizer.json and no .model file"):
        TextTokenizer.load(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="end_of_document='<eod>' is no token of bytes"):
        TextTokenizer.load("bytes", end_of_document="<eod>")
    (tmp_path / "broken.model").write_bytes(b"not a model")
    with pytest.raises(ValueError, match=r"broken.model: not a SentencePiece model"):
        TextTokenizer.load(tmp_path / "broken.model")
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(ValueError, match=r"tokenizer.json: not JSON"):
        TextTokenizer.load(tmp_path)


def test_the_default_end_of_document_is_the_folders_own(tmp_path: Path):
    tokenizer = TextTokenizer.load(_bpe_folder(tmp_path / "hf"))
    assert tokenizer.backend.id_to_token(tokenizer.end_of_document) == "<|im_start|>"
    tokenizer.save(tmp_path / "saved")
    assert TextTokenizer.load(tmp_path / "saved").encode(HOSTILE) == tokenizer.encode(HOSTILE)


def test_speech_tokenizer_facts_decide_the_codes(tmp_path: Path):
    speech = tmp_path / "speech"
    speech.mkdir()
    (speech / "manifest.json").write_text(
        json.dumps({"kind": "any", "facts": {"codebook_size": 12, "fingerprint": "abc"}})
    )
    build_vocabulary(BuildVocabularyConfig(output=tmp_path / "v", speech_tokenizer=speech))
    vocabulary = Vocabulary.load(tmp_path / "v")
    assert (vocabulary.num_speech_ids, vocabulary.speech_fingerprint) == (12, "abc")
    (speech / "manifest.json").write_text(json.dumps({"kind": "any", "facts": {"codebook_size": 12}}))
    with pytest.raises(ValueError, match=r"speech/manifest.json: facts.fingerprint is missing; make .*/speech again"):
        build_vocabulary(BuildVocabularyConfig(output=tmp_path / "w", speech_tokenizer=speech))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("tokenizer.json", "{}", "tokenizer.json: no tokenizer in it"),
        ("tokenizer_config.json", "[]", "tokenizer_config.json: states no eos_token"),
        ("tokenizer_config.json", '{"eos_token": 3}', "tokenizer_config.json: states no eos_token"),
        ("tokenizer_config.json", "{", "tokenizer_config.json is not JSON"),
    ],
)
def test_a_damaged_folder_is_named(tmp_path: Path, name: str, content: str, message: str) -> None:
    TextTokenizer.load("bytes").save(tmp_path)
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=message):
        TextTokenizer.load(tmp_path)
