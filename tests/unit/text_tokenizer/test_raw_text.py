"""Raw text: content tokens are encoded as `tokenizers` encodes them, special tokens never come from a text."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from megatron_speech.config.stages.build_vocabulary import BuildVocabularyConfig
from megatron_speech.text_tokenizer.raw_text import raw_text_encoder
from megatron_speech.text_tokenizer.tokenizer import TextTokenizer
from megatron_speech.text_tokenizer.vocabulary_folder import build_vocabulary

CONTENT = (
    AddedToken("    ", normalized=False, special=False),
    AddedToken("  ", normalized=False, special=False),
    AddedToken("<fim_mid>", special=False),
    AddedToken("Tylenol", single_word=True, special=False),
    AddedToken("left", lstrip=True, special=False),
    AddedToken("right", rstrip=True, special=False),
    AddedToken("ÄRZTE", normalized=True, special=False),
    AddedToken("\n\n", normalized=False, special=False),
)
SPECIAL = ("<s>", "</s>", "<|im_end|>", "<|audio_0|>", "<mask>")
WORDS = [token.content for token in CONTENT] + list(" \n\tabcé<>|_/s🙂") + ["ärzte", "Tylenols", "the ", "m", "fim_mid"]


def _tokenizer(kind: str) -> Tokenizer:
    """A small tokenizer of one model, with content and special tokens added."""
    texts = ["the left Tylenol ärzte right <s> </s> m s im_end audio_0 mask fim_mid \n"] * 4
    special = ["<unk>", *SPECIAL[:2]]
    if kind == "byte-level BPE":
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        tokenizer.train_from_iterator(
            texts, trainers.BpeTrainer(vocab_size=330, special_tokens=special, initial_alphabet=alphabet)
        )
    elif kind == "lower-cased WordPiece":
        tokenizer = Tokenizer(models.WordPiece(unk_token="<unk>"))
        tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
        tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
        tokenizer.train_from_iterator(texts, trainers.WordPieceTrainer(vocab_size=120, special_tokens=special))
    else:
        tokenizer = Tokenizer(models.Unigram())
        tokenizer.normalizer = normalizers.Replace(" ", "▁")
        trainer = trainers.UnigramTrainer(vocab_size=60, special_tokens=special, unk_token="<unk>")
        tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_tokens(list(CONTENT))
    tokenizer.add_special_tokens(list(SPECIAL))
    return tokenizer


KINDS = ("byte-level BPE", "lower-cased WordPiece", "Unigram")
TOKENIZERS = {kind: _tokenizer(kind) for kind in KINDS}
ENCODERS = {kind: raw_text_encoder(tokenizer)[0] for kind, tokenizer in TOKENIZERS.items()}


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None)
@given(words=st.lists(st.sampled_from(WORDS), max_size=24))
def test_a_text_without_special_tokens_has_the_ids_that_tokenizers_gives(kind: str, words: list[str]) -> None:
    text = "".join(words)
    if any(token in text for token in (*SPECIAL, "<unk>")):
        return
    expected = TOKENIZERS[kind].encode(text, add_special_tokens=False)
    found = ENCODERS[kind].encode(text, add_special_tokens=False)
    assert (found.ids, found.offsets) == (expected.ids, expected.offsets)


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None)
@given(words=st.lists(st.sampled_from([*WORDS, *SPECIAL]), max_size=24))
def test_a_spelt_out_special_token_stays_text(kind: str, words: list[str]) -> None:
    tokenizer = TOKENIZERS[kind]
    ids = ENCODERS[kind].encode("".join(words), add_special_tokens=False).ids
    assert not {tokenizer.token_to_id(token) for token in SPECIAL} & set(ids)


def test_whole_words_of_the_model_are_no_way_to_a_special_token() -> None:
    vocab = {"<unk>": 0, "<": 1, "s": 2, ">": 3, "<s": 4, "<s>": 5}
    merges = [("<", "s"), ("<s", ">")]
    words = models.WordLevel({"[UNK]": 0, "a": 1, "[CLS]": 2}, unk_token="[UNK]")
    for model, text, ids in (
        (models.BPE(vocab, merges, unk_token="<unk>", ignore_merges=True), "<s>", [4, 3]),
        (models.BPE(vocab, merges, unk_token="<unk>"), "<s>", [4, 3]),
        (words, "[CLS]", [0]),
    ):
        tokenizer = Tokenizer(model)
        tokenizer.add_special_tokens(["<s>", "<unk>"] if ids[0] else ["[CLS]", "[UNK]"])
        assert raw_text_encoder(tokenizer)[0].encode(text).ids == ids


def test_a_special_token_that_is_a_character_or_a_byte_stays_usable() -> None:
    model = models.BPE({"<unk>": 0, "a": 1, "<0xC3>": 2, "<0xA9>": 3}, [], unk_token="<unk>", byte_fallback=True)
    tokenizer = Tokenizer(model)
    tokenizer.add_special_tokens(["a", "<0xC3>", "<0xA9>"])
    assert raw_text_encoder(tokenizer)[0].encode("aé").ids == [1, 2, 3]


def test_roles_in_the_folder_make_a_token_special(tmp_path: Path) -> None:
    tokenizer = TOKENIZERS["byte-level BPE"]
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    for name, content in (("tokenizer_config.json", '{"eos_token": "</s>", "pad_token": "<fim_mid>"}'),):
        (tmp_path / name).write_text(content)
    loaded = TextTokenizer.load(tmp_path)
    assert tokenizer.token_to_id("<fim_mid>") not in loaded.encode("a <fim_mid> b")
    assert tokenizer.token_to_id("    ") in loaded.encode("a    b")
    loaded.save(tmp_path / "again")
    assert TextTokenizer.load(tmp_path / "again").encode("a <fim_mid>    b") == loaded.encode("a <fim_mid>    b")


def test_speech_tokens_that_a_base_has_as_content_are_special_in_the_vocabulary(tmp_path: Path) -> None:
    TextTokenizer.load("bytes").save(tmp_path / "base")
    tokenizer = Tokenizer.from_file(str(tmp_path / "base" / "tokenizer.json"))
    tokenizer.add_tokens([AddedToken(f"<|audio_{code}|>", special=False) for code in range(4)])
    tokenizer.save(str(tmp_path / "base" / "tokenizer.json"))
    build_vocabulary(
        BuildVocabularyConfig(output=tmp_path / "vocabulary", text=str(tmp_path / "base"), codebook_size=4)
    )
    first = tokenizer.token_to_id("<|audio_0|>")
    loaded = TextTokenizer.load(tmp_path / "vocabulary")
    assert loaded.encode("<|audio_0|>") == list(b"<|audio_0|>")
    assert loaded.backend.token_to_id("<|audio_0|>") == first


def _begins(tokenizer: Tokenizer, *tokens: str) -> None:
    """Let the tokenizer's own post-processor put `tokens` before a text."""
    pairs = [(token, tokenizer.token_to_id(token)) for token in tokens]
    tokenizer.post_processor = processors.TemplateProcessing(single=f"{' '.join(tokens)} $A", special_tokens=pairs)


@pytest.mark.parametrize(
    ("own", "config", "given", "expected"),
    [
        ((), {}, None, []),
        (("<s>",), {}, None, ["<s>"]),
        (("<mask>", "<s>"), {}, None, ["<mask>", "<s>"]),  # GLM-4 puts two
        (("<s>",), {"add_bos_token": False}, None, []),
        ((), {"add_bos_token": True, "bos_token": {"content": "<s>"}}, None, ["<s>"]),
        ((), {"add_bos_token": None, "bos_token": "<s>"}, None, []),
        (("<s>",), {}, [], []),
        ((), {}, ["<mask>"], ["<mask>"]),
    ],
)
def test_documents_begin_as_the_base_was_trained(tmp_path: Path, own, config, given, expected) -> None:
    import json

    tokenizer = _tokenizer("byte-level BPE")
    if own:
        _begins(tokenizer, *own)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"eos_token": "</s>", **config}))
    found = TextTokenizer.load(tmp_path, begin_of_document=given).begin_of_document
    assert list(found) == [tokenizer.token_to_id(token) for token in expected]


def test_a_beginning_that_closes_documents_too_is_refused(tmp_path: Path) -> None:
    tokenizer = _tokenizer("byte-level BPE")
    _begins(tokenizer, "</s>")
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "tokenizer_config.json").write_text('{"eos_token": "</s>"}')
    with pytest.raises(ValueError, match=r"begin_of_document: .* with '</s>', which also closes documents"):
        TextTokenizer.load(tmp_path)
    assert TextTokenizer.load(tmp_path, begin_of_document=[]).begin_of_document == ()
    with pytest.raises(ValueError, match="begin_of_document='<bos>' is no token of"):
        TextTokenizer.load(tmp_path, begin_of_document=["<bos>"])
    with pytest.raises(ValueError, match="end_of_document='<eos>' is no token of"):
        TextTokenizer.load(tmp_path, end_of_document="<eos>", begin_of_document=[])
