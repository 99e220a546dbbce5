"""Hugging Face folder -> checkpoint -> Hugging Face folder, held against megatron-core's model and transformers'."""

import dataclasses
import importlib.util
import itertools
import json
import shutil
import weakref
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, GenerationConfig, LlamaConfig

from megatron_speech.checkpoint import hf_import
from megatron_speech.checkpoint.distributed.save_load import load_model, save_model
from megatron_speech.checkpoint.folder import require_same_model, verify
from megatron_speech.checkpoint.hf_config import read_model_config
from megatron_speech.checkpoint.hf_export import convert_to_hf, find_checkpoint
from megatron_speech.checkpoint.hf_import import convert_from_hf
from megatron_speech.commands.main import read_command_line
from megatron_speech.commands.table import find
from megatron_speech.config.stages.build_vocabulary import BuildVocabularyConfig
from megatron_speech.config.stages.convert import ConvertFromHfConfig, ConvertToHfConfig
from megatron_speech.model.forward import forward
from megatron_speech.text_tokenizer.vocabulary_folder import build_vocabulary
from megatron_speech.vocabulary import Vocabulary
from tests.toy_text_models import (
    FAMILIES,
    SHAPE,
    export,
    import_text_model,
    require_same_weights,
    tensors,
    text_model,
)
from tests.whole_model import whole_model

CLASSES = {
    "llama": "LlamaForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
    "glm": "GlmForCausalLM",
}


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("family", FAMILIES)
def test_there_and_back_is_bit_exact_and_logits_agree(tmp_path: Path, family: str, tied: bool) -> None:
    text_model(tmp_path / "text", family, tied=tied, padding_rows=7)
    base, vocabulary = import_text_model(tmp_path)
    hf = export(tmp_path, base)
    require_same_weights(hf, tmp_path / "text", vocabulary=vocabulary)
    model = read_model_config(hf)
    assert model == read_model_config(tmp_path / "text")
    tokens = torch.randint(0, vocabulary.size, (2, 32), generator=torch.Generator().manual_seed(2))
    ends = [0, 5, 32, 52, 64]  # documents over the flattened rows: the second ends with row 0
    with whole_model(model, vocabulary=vocabulary, dtype="float32") as chunk:
        load_model(base, [chunk], model=model, vocabulary=vocabulary)
        with torch.no_grad():
            ours = forward(
                chunk, tokens=tokens, labels=None, cu_seqlens=torch.tensor(ends, dtype=torch.int32), max_seqlen=27
            ).reshape(64, -1)
    theirs = AutoModelForCausalLM.from_pretrained(hf, dtype=torch.float32)
    assert type(theirs).__name__ == CLASSES[family]
    assert AutoConfig.from_pretrained(hf).architectures == [CLASSES[family]]
    for start, end in itertools.pairwise(ends):
        with torch.no_grad():
            logits = theirs(tokens.flatten()[None, start:end]).logits[0]
        assert logits.std() > 0.3, "logits this small would agree whatever they are"
        assert (ours[start:end, : vocabulary.size] - logits).abs().max() < 1e-4


def test_bfloat16_weights_come_back_bit_exact(tmp_path: Path) -> None:
    text_model(tmp_path / "text", "qwen3", tied=False, dtype=torch.bfloat16)
    base, vocabulary = import_text_model(tmp_path)
    require_same_weights(export(tmp_path, base, dtype="bfloat16"), tmp_path / "text", vocabulary=vocabulary)


def test_generate_writes_speech_ids_and_continues_them(tmp_path: Path) -> None:
    text_model(tmp_path / "text", "glm", tied=True)
    base, vocabulary = import_text_model(tmp_path)
    hf = export(tmp_path, base)
    tokenizer, model = AutoTokenizer.from_pretrained(hf), AutoModelForCausalLM.from_pretrained(hf)
    prompt = tokenizer("ab<|begin_of_audio|><|audio_3|><|audio_19|>", return_tensors="pt").input_ids
    assert prompt[0, -3:].tolist() == [
        vocabulary.special_id("<|begin_of_audio|>"),
        vocabulary.speech_id(3),
        vocabulary.speech_id(19),
    ]
    speech = torch.arange(vocabulary.first_speech_id, vocabulary.size)

    def only_speech(_batch: int, _ids: torch.Tensor) -> list[int]:
        return speech.tolist()

    options = {"max_new_tokens": 8, "min_new_tokens": 8, "do_sample": False}
    written = model.generate(prompt, prefix_allowed_tokens_fn=only_speech, **options)[0, prompt.shape[1] :]
    assert len(written) == 8 and all(int(token) in vocabulary.speech_ids for token in written)
    with torch.no_grad():
        logits = model(torch.cat([prompt[0], written])[None]).logits[0, prompt.shape[1] - 1 : -1]
    assert torch.equal(speech[logits[:, speech].argmax(1)], written)
    assert "<|audio_" in tokenizer.decode(written)
    assert GenerationConfig.from_pretrained(hf).eos_token_id == [0, vocabulary.end_of_document]


@pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="needs vLLM: pip install 'megatron-speech[serve]'")
@pytest.mark.parametrize("family", FAMILIES)
def test_vllm_generates_what_transformers_does(tmp_path: Path, family: str) -> None:
    from vllm import LLM, SamplingParams

    text_model(tmp_path / "text", family, tied=True, head_dim=64)  # the narrowest head of all its attention kernels
    base, vocabulary = import_text_model(tmp_path)
    hf = export(tmp_path, base)
    prompt = [vocabulary.special_id("<|begin_of_audio|>"), vocabulary.speech_id(3)]
    model = AutoModelForCausalLM.from_pretrained(hf)
    theirs = model.generate(torch.tensor([prompt]), max_new_tokens=4, min_new_tokens=4, do_sample=False)[0, 2:]
    engine = LLM(str(hf), dtype="float32", enforce_eager=True)
    sampling = SamplingParams(temperature=0, max_tokens=4, min_tokens=4, detokenize=False)
    (output,) = engine.generate([{"prompt_token_ids": prompt}], sampling)
    assert list(output.outputs[0].token_ids) == theirs.tolist()


def test_the_export_carries_its_tokenizer(tmp_path: Path) -> None:
    text_model(tmp_path / "text", "llama", tied=True)
    base, vocabulary = import_text_model(tmp_path)
    hf = export(tmp_path, base)
    tokenizer = AutoTokenizer.from_pretrained(hf)
    assert len(tokenizer) == vocabulary.size == AutoModelForCausalLM.from_pretrained(hf).config.vocab_size
    assert tokenizer.convert_tokens_to_ids("<|audio_19|>") == vocabulary.speech_id(19)
    assert tokenizer.eos_token_id == vocabulary.end_of_document
    assert Vocabulary.load(hf).fingerprint == vocabulary.fingerprint


def test_a_large_export_is_split_and_indexed(tmp_path: Path) -> None:
    text_model(tmp_path / "text", "llama", tied=False)
    base, vocabulary = import_text_model(tmp_path)
    hf = export(tmp_path, base, max_shard_gb=5e-5)
    names = {path.name for path in hf.glob("*.safetensors")}
    assert len(names) > 1 and f"model-00001-of-{len(names):05d}.safetensors" in names
    weight_map = json.loads((hf / "model.safetensors.index.json").read_text())["weight_map"]
    assert weight_map.keys() == tensors(hf).keys() and set(weight_map.values()) == names
    require_same_weights(hf, tmp_path / "text", vocabulary=vocabulary)
    theirs = AutoModelForCausalLM.from_pretrained(hf).state_dict()
    assert all(torch.equal(theirs[name], tensor) for name, tensor in tensors(hf).items())


def test_a_split_model_is_imported(tmp_path: Path) -> None:
    text_model(tmp_path / "text", "llama", tied=False)
    AutoModelForCausalLM.from_pretrained(tmp_path / "text").save_pretrained(tmp_path / "split", max_shard_size="50KB")
    assert len(list((tmp_path / "split").glob("*.safetensors"))) > 1
    (tmp_path / "text" / "model.safetensors").rename(tmp_path / "whole.safetensors")
    for path in [*(tmp_path / "split").glob("*.safetensors"), tmp_path / "split" / "model.safetensors.index.json"]:
        shutil.copy(path, tmp_path / "text")
    base, vocabulary = import_text_model(tmp_path)
    require_same_weights(export(tmp_path, base), tmp_path / "text", vocabulary=vocabulary)


def test_the_import_holds_one_tensor_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[weakref.ref[torch.Tensor]] = []
    join, extend = hf_import.join, hf_import.extend_embedding

    def watched_join(parts, entry, model):
        assert not [tensor for tensor in seen if tensor() is not None], entry
        joined = join(parts, entry, model)
        seen.append(weakref.ref(joined))
        return joined

    def watched_extend(*args, **kwargs):
        grown = extend(*args, **kwargs)
        seen.append(weakref.ref(grown))
        return grown

    monkeypatch.setattr(hf_import, "join", watched_join)
    monkeypatch.setattr(hf_import, "extend_embedding", watched_extend)
    text_model(tmp_path / "text", "llama", tied=False)
    import_text_model(tmp_path)
    assert len(seen) == 3 + 4 * 6 + 2  # outside the layers, in the layers, grown


def test_new_rows_are_finite_and_of_the_old_rows_size(tmp_path: Path) -> None:
    text_model(tmp_path / "text", "llama", tied=True)
    base, vocabulary = import_text_model(tmp_path)
    rows = tensors(export(tmp_path, base))["model.embed_tokens.weight"]
    new = rows[vocabulary.num_text_ids :]
    assert new.shape[0] == vocabulary.size - vocabulary.num_text_ids
    assert 0.5 < new.std() / rows[: vocabulary.num_text_ids].std() < 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 1e4}}, "not plain rotary positions"),
        ({"attention_bias": True}, "attention_bias=True must be False"),
        ({"hidden_act": "gelu"}, "hidden_act=gelu must be silu"),
        ({"rope_parameters": {"rope_type": "default", "rope_theta": 0}}, "model.rotary_base=0 must be above 0"),
        ({"rms_norm_eps": -1.0}, "model.norm_epsilon=-1.0 must be above 0"),
        ({"max_position_embeddings": -3}, "model.max_position_embeddings=-3 must be at least 1"),
        ({"head_dim": 0}, "model.kv_channels=0 must be at least 1"),
        ({"num_key_value_heads": 4}, r"model.num_query_groups=4 must divide\s+model.num_attention_heads=6"),
    ],
)
def test_what_cannot_be_held_is_refused_by_name(tmp_path: Path, change: dict, message: str) -> None:
    LlamaConfig(**{**SHAPE, **change}).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=message):
        read_model_config(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"intermediate_size": 96}, r"model.layers.0.mlp.gate_proj.weight has shape \[80, 48\].*asks for \[96, 48\]"),
        ({"num_hidden_layers": 3}, r"config.json: num_hidden_layers=3, but the tensors there belong to 4 layers"),
        ({"num_hidden_layers": 5}, r"config.json: num_hidden_layers=5, but the tensors there belong to 4 layers"),
        ({"num_hidden_layers": 10_000}, r"num_hidden_layers=10000, but the tensors there belong to 4 layers"),
        ({"num_hidden_layers": 10**9}, r"num_hidden_layers=1000000000 must be at most 10000"),
        ({"model_type": "qwen2", "num_hidden_layers": 10**9}, r"num_hidden_layers=1000000000 must be at most 10000"),
        (
            {"num_key_value_heads": 3},
            r"self_attn.k_proj.weight has shape \[16, 48\], its config.json asks for \[24, 48\]",
        ),
        ({"vocab_size": 300}, r"model.embed_tokens.weight has shape .* asks for \[300, 48\]"),
        ({"tie_word_embeddings": False}, r"lacks tensor lm_head.weight"),
        ({"num_attention_heads": 0}, r"config.json contradicts itself"),
        ({"hidden_size": 50}, r"config.json contradicts itself"),
        ({"num_hidden_layers": "four"}, r"config.json contradicts itself"),
        ({"dtype": "banana"}, r"config.json contradicts itself"),
        ({"model_type": ["llama"]}, r"model_type=\['llama'\] is not among llama"),
        ({"model_type": "gpt2"}, r"model_type=gpt2 is not among llama, qwen2, qwen3, glm"),
    ],
)
def test_numbers_that_contradict_the_weights_are_refused(tmp_path: Path, change: dict, message: str) -> None:
    text_model(tmp_path / "text", "llama", tied=True)
    path = tmp_path / "text" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(ValueError, match=message) as error:
        import_text_model(tmp_path)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "base").exists() and not (tmp_path / "base.partial").exists()


def test_a_head_that_should_be_tied_and_is_not_is_refused(tmp_path: Path) -> None:
    text_model(tmp_path / "text", "llama", tied=True)
    file = tmp_path / "text" / "model.safetensors"
    held = tensors(tmp_path / "text")
    embedding = held["model.embed_tokens.weight"]
    save_file({**held, "lm_head.weight": embedding + 1}, file)
    with pytest.raises(ValueError, match=r"tie_word_embeddings=true .* lm_head.weight differs"):
        import_text_model(tmp_path)
    save_file(
        {**{name: held[name] for name in held if name != "model.embed_tokens.weight"}, "lm_head.weight": embedding},
        file,
    )
    with pytest.raises(ValueError, match=r"lacks tensor model.embed_tokens.weight and has lm_head.weight"):
        import_text_model(tmp_path)
    save_file({**held, "lm_head.weight": embedding.clone()}, file)
    import_text_model(tmp_path)


def test_another_tokenizer_is_refused(tmp_path: Path) -> None:
    text_model(tmp_path / "text", "llama", tied=True)
    build_vocabulary(BuildVocabularyConfig(output=tmp_path / "vocabulary", text="bytes", codebook_size=20))
    config = ConvertFromHfConfig(model=tmp_path / "text", vocabulary=tmp_path / "vocabulary", output=tmp_path / "base")
    with pytest.raises(ValueError, match=r"text tokenizer .* differs"):
        convert_from_hf(config)
    assert not (tmp_path / "base").exists()


def test_a_run_folder_gives_its_newest_checkpoint(tmp_path: Path) -> None:
    for step in (9, 10):
        (tmp_path / "checkpoints" / f"step_{step}").mkdir(parents=True)
    assert find_checkpoint(tmp_path).name == "step_10"
    with pytest.raises(FileNotFoundError, match="neither a checkpoint nor a run folder"):
        find_checkpoint(tmp_path / "checkpoints")


def test_weights_trained_in_bfloat16_are_exported_as_they_are(tmp_path: Path) -> None:
    text_model(tmp_path / "text", "llama", tied=True)
    _, vocabulary = import_text_model(tmp_path)
    model = read_model_config(tmp_path / "text")
    with whole_model(model, vocabulary=vocabulary, dtype="bfloat16") as chunk:
        norm = chunk.state_dict()["decoder.final_layernorm.weight"]
        assert norm.dtype == torch.bfloat16
        norm.copy_(torch.linspace(0.5, 2, 48))
        save_model(tmp_path / "trained", [chunk], model=model, vocabulary=vocabulary)
    exported = tensors(export(tmp_path, tmp_path / "trained"))["model.norm.weight"]
    assert exported.dtype == torch.float32
    assert torch.equal(exported, torch.linspace(0.5, 2, 48).bfloat16().float())


@pytest.mark.parametrize("broken", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_not_finite_are_never_exported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: float
) -> None:
    """Nothing of this project saves such a checkpoint; one from elsewhere may be so."""
    join = hf_import.join

    def diverged(parts, entry, model):
        tensor = join(parts, entry, model).clone()
        if entry.layer == 2 and entry.megatron.endswith("linear_proj.weight"):
            tensor[3, 5] = broken
        return tensor

    monkeypatch.setattr(hf_import, "join", diverged)
    text_model(tmp_path / "text", "llama", tied=True)
    base, _ = import_text_model(tmp_path)
    message = r"base: tensor model.layers.2.self_attn.o_proj.weight holds nan or inf; the training diverged"
    with pytest.raises(ValueError, match=message):
        export(tmp_path, base)
    assert not (tmp_path / "hf").exists()


def test_an_export_of_another_vocabulary_is_refused(tmp_path: Path) -> None:
    text_model(tmp_path / "text", "llama", tied=True)
    base, _ = import_text_model(tmp_path)
    build_vocabulary(BuildVocabularyConfig(output=tmp_path / "other", text="bytes", codebook_size=21))
    config = ConvertToHfConfig(checkpoint=base, vocabulary=tmp_path / "other", output=tmp_path / "out")
    with pytest.raises(ValueError, match="vocabulary fingerprint"):
        convert_to_hf(config)
    assert not (tmp_path / "out").exists()


def test_model_yaml_beside_an_import_is_its_shape_alone_and_outside_its_checksums(tmp_path: Path) -> None:
    text_model(tmp_path / "text", "qwen3", tied=False)
    base, _ = import_text_model(tmp_path)
    needed = ["--folder", "run", "--data.sources", "{a: {folder: packed, task: text}}", "--data.seq_length", "32"]
    written = base / "model.yaml"
    assert "# Transformer layers.\n" in written.read_text()
    by_file = read_command_line(find("pretrain"), ["--config", str(written), *needed]).model
    by_base = read_command_line(find("pretrain"), ["--model.base", str(base), *needed]).model
    assert (by_file, by_base.base) == (dataclasses.replace(by_base, base="scratch"), str(base))
    written.write_text("changed by its owner")
    require_same_model(base, model=by_file, vocabulary=Vocabulary.load(base))
    verify(base)
