"""The loss that training reports is the loss that transformers computes from the export, where padding rows are cut."""

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from megatron_speech.checkpoint.distributed.save_load import load_model
from megatron_speech.checkpoint.hf_config import read_model_config
from megatron_speech.checkpoint.hf_export import convert_to_hf
from megatron_speech.checkpoint.hf_import import convert_from_hf
from megatron_speech.config.run.parallel import ParallelConfig, PrecisionConfig
from megatron_speech.config.stages.build_vocabulary import BuildVocabularyConfig
from megatron_speech.config.stages.convert import ConvertFromHfConfig, ConvertToHfConfig
from megatron_speech.parallel import groups
from megatron_speech.parallel.layout import ParallelLayout
from megatron_speech.text_tokenizer.tokenizer import TextTokenizer
from megatron_speech.text_tokenizer.vocabulary_folder import build_vocabulary
from megatron_speech.vocabulary import Vocabulary


@pytest.mark.parametrize("tied", [True, False])
def test_losses_equal_those_of_the_export(tmp_path: Path, tied: bool) -> None:
    vocabulary = _convert(tmp_path, tied=tied)
    assert vocabulary.padded_size > 1.5 * vocabulary.size  # a third of any softmax that does not leave padding out
    ids = torch.randint(0, vocabulary.size, (1, 33), generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "hf", dtype=torch.float32)(ids, labels=ids).loss
        torch.testing.assert_close(_our_loss(tmp_path, vocabulary, ids), theirs, rtol=1e-5, atol=0)


def _convert(folder: Path, *, tied: bool) -> Vocabulary:
    """A random text model as text/ to a checkpoint base/ and an export hf/, far more rows padded than needed."""
    tokenizer = TextTokenizer.load("bytes")
    tokenizer.save(folder / "text")
    shape = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = LlamaConfig(**shape, vocab_size=tokenizer.size, tie_word_embeddings=tied, initializer_range=0.1)
    LlamaForCausalLM(config).save_pretrained(folder / "text")
    ours = folder / "vocabulary"
    build_vocabulary(
        BuildVocabularyConfig(output=ours, text=str(folder / "text"), codebook_size=20, padding_multiple=512)
    )
    convert_from_hf(ConvertFromHfConfig(model=folder / "text", vocabulary=ours, output=folder / "base"))
    convert_to_hf(ConvertToHfConfig(checkpoint=folder / "base", vocabulary=ours, output=folder / "hf"))
    return Vocabulary.load(ours)


def _our_loss(folder: Path, vocabulary: Vocabulary, ids: torch.Tensor) -> torch.Tensor:
    """Mean loss of one document of ids [1, S+1] by the checkpoint."""
    from megatron_speech.model.builder import build_model
    from megatron_speech.model.forward import forward

    model, parallel = read_model_config(folder / "hf"), ParallelConfig()
    groups.initialize(ParallelLayout.of(parallel, world_size=1), seed=0)
    try:
        (chunk,) = build_model(
            model, vocabulary=vocabulary, parallel=parallel, precision=PrecisionConfig(dtype="float32")
        )
        load_model(folder / "base", [chunk], model=model, vocabulary=vocabulary)
        length = ids.shape[1] - 1
        ends = torch.tensor([0, length], dtype=torch.int32)
        return forward(chunk, tokens=ids[:, :-1], labels=ids[:, 1:], cu_seqlens=ends, max_seqlen=length).mean()
    finally:
        groups.shutdown()
