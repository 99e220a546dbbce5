"""SmolLM2-135M's own weights: to a checkpoint, through two layouts, and back bit by bit; the same logits on the way."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from megatron_speech.checkpoint import folder as folders
from megatron_speech.checkpoint.hf_import import convert_from_hf
from megatron_speech.config.run.parallel import ParallelConfig, PrecisionConfig
from megatron_speech.config.stages.build_vocabulary import BuildVocabularyConfig
from megatron_speech.config.stages.convert import ConvertFromHfConfig
from megatron_speech.parallel import groups
from megatron_speech.parallel.layout import ParallelLayout
from megatron_speech.text_tokenizer.vocabulary_folder import build_vocabulary
from megatron_speech.vocabulary import Vocabulary
from tests.ranks import run_ranks
from tests.toy_text_models import export, require_same_weights

pytestmark = pytest.mark.assets

# 9 query heads in 3 groups, 30 layers. The first layout computes logits, too.
LAYOUTS = {
    "tensor 3": (3, ParallelConfig(tensor_model_parallel_size=3)),
    "pipeline 2": (2, ParallelConfig(pipeline_model_parallel_size=2)),
}
SENTENCE = "The capital of France is Paris, and the capital of Italy is"


def test_real_weights_go_there_and_back(real_assets: Path, tmp_path: Path) -> None:
    text = real_assets / "smollm2-135m-instruct"
    build_vocabulary(
        BuildVocabularyConfig(output=tmp_path / "vocabulary", text=str(text), codebook_size=64, padding_multiple=192)
    )
    convert_from_hf(ConvertFromHfConfig(model=text, vocabulary=tmp_path / "vocabulary", output=tmp_path / "base"))
    vocabulary = Vocabulary.load(tmp_path / "vocabulary")
    hf = export(tmp_path, tmp_path / "base")
    require_same_weights(hf, text, vocabulary=vocabulary)

    tokenizer, model = AutoTokenizer.from_pretrained(hf), AutoModelForCausalLM.from_pretrained(hf)
    prompt = tokenizer(SENTENCE, return_tensors="pt").input_ids
    assert tokenizer.decode(model.generate(prompt, max_new_tokens=2, do_sample=False)[0]).endswith("is Rome.")
    tokens = torch.cat([prompt, torch.arange(vocabulary.first_speech_id, vocabulary.size)[None]], dim=1)
    with torch.no_grad():
        torch.save({"tokens": tokens, "logits": model(tokens).logits[0]}, tmp_path / "reference.pt")

    for name, (world_size, parallel) in LAYOUTS.items():
        run_ranks(_check_layout, world_size, tmp_path, name, parallel, timeout=600)
        require_same_weights(export(tmp_path, tmp_path / name, f"hf {name}"), text, vocabulary=vocabulary)


def _check_layout(
    rank: int, world_size: int, init_method: str, folder: Path, name: str, parallel: ParallelConfig
) -> None:
    from megatron_speech.checkpoint.distributed.save_load import load_model, save_model
    from megatron_speech.model.builder import build_model
    from megatron_speech.model.forward import forward

    layout = ParallelLayout.of(parallel, world_size=world_size)
    groups.initialize(layout, seed=0, rank=rank, init_method=init_method)
    model, vocabulary = folders.read_model_config(folder / "base"), Vocabulary.load(folder / "vocabulary")
    precision = PrecisionConfig(dtype="float32")
    chunks = build_model(model, vocabulary=vocabulary, parallel=parallel, precision=precision, seed=3)
    load_model(folder / "base", chunks, model=model, vocabulary=vocabulary)
    if parallel.pipeline_model_parallel_size == 1:
        reference = torch.load(folder / "reference.pt")
        tokens = reference["tokens"]
        ends = torch.tensor([0, tokens.shape[1]], dtype=torch.int32)
        with torch.no_grad():
            ours = forward(chunks[0], tokens=tokens, labels=None, cu_seqlens=ends, max_seqlen=tokens.shape[1])
        first = groups.tensor_parallel_rank() * ours.shape[-1]
        theirs = reference["logits"][:, first : first + ours.shape[-1]]
        assert (ours[:, : theirs.shape[1]] - theirs).abs().max() < 1e-4
    save_model(folder / name, chunks, model=model, vocabulary=vocabulary)
