"""A GGUF file written here, with llama.cpp's row order, gives the model it was written from."""

from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from megatron_speech.miniature.gguf import smollm2_to_hf
from megatron_speech.text_tokenizer.tokenizer import TextTokenizer

NAMES = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
HEADS = {"attn_q": 4, "attn_k": 2}


def _model() -> LlamaForCausalLM:
    torch.manual_seed(0)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=258,
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=64,
            rms_norm_eps=1e-5,
            tie_word_embeddings=True,
            initializer_range=0.2,
            rope_parameters={"rope_type": "default", "rope_theta": 5000.0},
        )
    ).eval()


def _pairs_together(weight: np.ndarray, heads: int) -> np.ndarray:
    """llama.cpp's order: the two halves of a head, row by row in turn."""
    return weight.reshape(heads, 2, -1, weight.shape[1]).swapaxes(1, 2).reshape(weight.shape)


def _write(path: Path, model: LlamaForCausalLM, *, architecture: str = "llama") -> None:
    config = model.config
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(5000.0)
    writer.add_rope_dimension_count(8)
    writer.add_vocab_size(config.vocab_size)
    writer.add_tokenizer_model("gpt2")
    bytes_and_end = [TextTokenizer.load("bytes").backend.id_to_token(n) for n in range(257)]
    writer.add_token_list([*bytes_and_end, "ab"])
    writer.add_token_types([1] * 256 + [3, 1])
    writer.add_token_merges(["a b"])
    for add in (writer.add_bos_token_id, writer.add_eos_token_id, writer.add_pad_token_id, writer.add_unk_token_id):
        add(256)
    for name, tensor in model.state_dict().items():
        weight = tensor.numpy()
        if name == "model.embed_tokens.weight":
            writer.add_tensor("token_embd.weight", weight)
        elif name == "model.norm.weight":
            writer.add_tensor("output_norm.weight", weight)
        elif name.startswith("model.layers."):
            _, _, layer, part = name.removesuffix(".weight").split(".", 3)
            weight = _pairs_together(weight, HEADS[NAMES[part]]) if NAMES[part] in HEADS else weight
            writer.add_tensor(f"blk.{layer}.{NAMES[part]}.weight", np.ascontiguousarray(weight))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def test_weights_logits_and_tokenizer_come_back(tmp_path: Path) -> None:
    model = _model()
    _write(tmp_path / "model.gguf", model)
    smollm2_to_hf(tmp_path / "model.gguf", tmp_path / "hf")
    loaded = LlamaForCausalLM.from_pretrained(tmp_path / "hf")
    for name, tensor in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor), name
    assert loaded.config.rms_norm_eps == 1e-5 and loaded.config.tie_word_embeddings
    tokens = torch.arange(20)[None]
    with torch.no_grad():
        assert torch.equal(model(tokens).logits, loaded(tokens).logits)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "hf")
    assert tokenizer.decode(tokenizer.encode("h\u00e9 llo")) == "h\u00e9 llo"


def test_another_architecture_is_refused(tmp_path: Path) -> None:
    _write(tmp_path / "model.gguf", _model(), architecture="gemma")
    with pytest.raises(ValueError, match=r"general\.architecture=gemma is not llama"):
        smollm2_to_hf(tmp_path / "model.gguf", tmp_path / "hf")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"none\.gguf does not exist"):
        smollm2_to_hf(tmp_path / "none.gguf", tmp_path / "hf")
