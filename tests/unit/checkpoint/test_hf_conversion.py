"""Hugging Face folder -> checkpoint -> Hugging Face folder, through megatron-core and back into transformers."""

import itertools
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM, Qwen2Config

from megatron_speech.checkpoint.distributed import load_model
from megatron_speech.checkpoint.hf_config import read_model_config
from megatron_speech.checkpoint.hf_export import convert_to_hf
from megatron_speech.checkpoint.hf_import import convert_from_hf
from megatron_speech.checkpoint.whole_model import whole_model
from megatron_speech.config.convert import ConvertFromHfConfig, ConvertToHfConfig
from megatron_speech.config.tokens import VocabularyConfig
from megatron_speech.text_tokenizer import TextTokenizer
from megatron_speech.vocabulary import Vocabulary
from megatron_speech.vocabulary_folder import build_vocabulary

SHAPE = {
    "hidden_size": 48,
    "intermediate_size": 80,
    "num_hidden_layers": 2,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "initializer_range": 0.1,
    "rope_parameters": {"rope_type": "default", "rope_theta": 5000.0},
}


def _text_model(folder: Path, *, tied: bool, family: str = "llama", padding_rows: int = 0) -> None:
    """A random byte-level model with its tokenizer, as transformers saves it."""
    tokenizer = TextTokenizer.load("bytes")
    tokenizer.save(folder)
    config_class = {"llama": LlamaConfig, "qwen2": Qwen2Config}[family]
    config = config_class(**SHAPE, vocab_size=tokenizer.size + padding_rows, tie_word_embeddings=tied)
    torch.manual_seed(1)
    model = AutoModelForCausalLM.from_config(config)
    for name, parameter in model.named_parameters():
        if "norm" in name or "bias" in name:
            torch.nn.init.normal_(parameter, mean=1.0, std=0.3)
    model.save_pretrained(folder)


def _convert(folder: Path, **options) -> tuple[Path, Path, Vocabulary]:
    """text/ -> vocabulary/ -> base/ -> hf/"""
    build_vocabulary(
        VocabularyConfig(output=folder / "vocabulary", text=str(folder / "text"), codebook_size=20, padding_multiple=64)
    )
    convert_from_hf(
        ConvertFromHfConfig(model=folder / "text", vocabulary=folder / "vocabulary", output=folder / "base")
    )
    convert_to_hf(
        ConvertToHfConfig(checkpoint=folder / "base", vocabulary=folder / "vocabulary", output=folder / "hf", **options)
    )
    return folder / "base", folder / "hf", Vocabulary.load(folder / "vocabulary")


def _tensors(folder: Path) -> dict[str, torch.Tensor]:
    return {name: tensor for file in folder.glob("*.safetensors") for name, tensor in load_file(file).items()}


@pytest.mark.parametrize(("tied", "family"), [(True, "llama"), (False, "llama"), (True, "qwen2")])
def test_there_and_back_is_bit_exact(tmp_path: Path, tied: bool, family: str) -> None:
    _text_model(tmp_path / "text", tied=tied, family=family, padding_rows=7)
    _, hf, vocabulary = _convert(tmp_path)
    before, after = _tensors(tmp_path / "text"), _tensors(hf)
    assert before.keys() == after.keys()
    for name, tensor in before.items():
        if name in ("model.embed_tokens.weight", "lm_head.weight"):
            assert after[name].shape[0] == vocabulary.size
            tensor, after[name] = tensor[: vocabulary.num_text_ids], after[name][: vocabulary.num_text_ids]
        assert torch.equal(after[name], tensor), name
    assert read_model_config(hf) == read_model_config(tmp_path / "text")


@pytest.mark.parametrize("tied", [True, False])
def test_logits_of_the_export_equal_ours_on_packed_rows(tmp_path: Path, tied: bool) -> None:
    from megatron_speech.model.forward import forward

    _text_model(tmp_path / "text", tied=tied)
    base, hf, vocabulary = _convert(tmp_path)
    tokens = torch.randint(0, vocabulary.size, (2, 32), generator=torch.Generator().manual_seed(2))
    ends = [0, 5, 32, 52, 64]  # documents over the flattened rows: the second ends with row 0
    with whole_model(read_model_config(hf), vocabulary=vocabulary, dtype="float32") as chunk:
        load_model(base, [chunk], model=read_model_config(hf), vocabulary=vocabulary)
        with torch.no_grad():
            ours = forward(
                chunk, tokens=tokens, labels=None, cu_seqlens=torch.tensor(ends, dtype=torch.int32), max_seqlen=27
            ).reshape(64, -1)
    theirs = AutoModelForCausalLM.from_pretrained(hf, dtype=torch.float32)
    assert isinstance(theirs, LlamaForCausalLM)
    for start, end in itertools.pairwise(ends):
        with torch.no_grad():
            logits = theirs(tokens.flatten()[None, start:end]).logits[0]
        assert (ours[start:end, : vocabulary.size] - logits).abs().max() < 1e-4


def test_the_export_carries_its_tokenizer(tmp_path: Path) -> None:
    _text_model(tmp_path / "text", tied=True)
    _, hf, vocabulary = _convert(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(hf)
    assert len(tokenizer) == vocabulary.size == AutoModelForCausalLM.from_pretrained(hf).config.vocab_size
    assert tokenizer.convert_tokens_to_ids("<|audio_19|>") == vocabulary.speech_id(19)
    assert tokenizer.eos_token_id == vocabulary.end_of_document
    assert Vocabulary.load(hf).fingerprint == vocabulary.fingerprint


def test_a_large_export_is_split_and_indexed(tmp_path: Path) -> None:
    _text_model(tmp_path / "text", tied=True)
    _, hf, _ = _convert(tmp_path, max_shard_gb=5e-5)
    assert len(list(hf.glob("*.safetensors"))) > 1
    assert json.loads((hf / "model.safetensors.index.json").read_text())["weight_map"].keys() == _tensors(hf).keys()
    AutoModelForCausalLM.from_pretrained(hf)


def test_new_rows_are_finite_and_padding_is_zero(tmp_path: Path) -> None:
    _text_model(tmp_path / "text", tied=True)
    _, hf, vocabulary = _convert(tmp_path)
    rows = _tensors(hf)["model.embed_tokens.weight"]
    new = rows[vocabulary.num_text_ids :]
    assert new.shape[0] == vocabulary.size - vocabulary.num_text_ids
    assert 0.5 < new.std() / rows[: vocabulary.num_text_ids].std() < 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 1e4}}, "not plain rotary positions"),
        ({"attention_bias": True}, "attention_bias=True"),
        ({"hidden_act": "gelu"}, "hidden_act=gelu"),
    ],
)
def test_what_cannot_be_held_is_refused_by_name(tmp_path: Path, change: dict, message: str) -> None:
    LlamaConfig(**{**SHAPE, **change}).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=message):
        read_model_config(tmp_path)


def test_another_tokenizer_is_refused(tmp_path: Path) -> None:
    _text_model(tmp_path / "text", tied=True)
    build_vocabulary(VocabularyConfig(output=tmp_path / "vocabulary", text="bytes", codebook_size=20))
    config = ConvertFromHfConfig(model=tmp_path / "text", vocabulary=tmp_path / "vocabulary", output=tmp_path / "base")
    with pytest.raises(ValueError, match=r"text tokenizer .* differs"):
        convert_from_hf(config)
    assert not (tmp_path / "base").exists()


def test_a_run_folder_gives_its_newest_checkpoint(tmp_path: Path) -> None:
    from megatron_speech.checkpoint.hf_export import find_checkpoint

    for step in (9, 10):
        (tmp_path / "checkpoints" / f"step_{step}").mkdir(parents=True)
    assert find_checkpoint(tmp_path).name == "step_10"
    with pytest.raises(FileNotFoundError, match="neither a checkpoint nor a run folder"):
        find_checkpoint(tmp_path / "checkpoints")


def test_weights_trained_in_bfloat16_are_exported_as_they_are(tmp_path: Path) -> None:
    from megatron_speech.checkpoint.distributed import save_model
    from megatron_speech.checkpoint.whole_model import weights

    _text_model(tmp_path / "text", tied=True)
    _, _, vocabulary = _convert(tmp_path)
    model = read_model_config(tmp_path / "text")
    with whole_model(model, vocabulary=vocabulary, dtype="bfloat16") as chunk:
        norm = weights(chunk)["decoder.final_layernorm.weight"]
        assert norm.dtype == torch.bfloat16
        norm.copy_(torch.linspace(0.5, 2, 48))
        save_model(tmp_path / "trained", [chunk], model=model, vocabulary=vocabulary)
    convert_to_hf(
        ConvertToHfConfig(
            checkpoint=tmp_path / "trained", vocabulary=tmp_path / "vocabulary", output=tmp_path / "exported"
        )
    )
    exported = _tensors(tmp_path / "exported")["model.norm.weight"]
    assert exported.dtype == torch.float32
    assert torch.equal(exported, torch.linspace(0.5, 2, 48).bfloat16().float())


def test_an_export_of_another_vocabulary_is_refused(tmp_path: Path) -> None:
    _text_model(tmp_path / "text", tied=True)
    base, _, _ = _convert(tmp_path)
    build_vocabulary(VocabularyConfig(output=tmp_path / "other", text="bytes", codebook_size=21))
    config = ConvertToHfConfig(checkpoint=base, vocabulary=tmp_path / "other", output=tmp_path / "out")
    with pytest.raises(ValueError, match="vocabulary fingerprint"):
        convert_to_hf(config)
    assert not (tmp_path / "out").exists()
