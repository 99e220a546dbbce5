"""The forward pass of generation against that of transformers, family by family."""

from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    GemmaConfig,
    GlmConfig,
    LlamaConfig,
    PreTrainedModel,
    Qwen2Config,
    Qwen3Config,
)

from megatron_speech.inference.attention import Piece
from megatron_speech.inference.decoder import Decoder

PROMPTS = [[5, 6, 7], [1], [9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 11], [30] * 6, *([n, 2] for n in range(8))]
SHAPE = {
    "vocab_size": 50,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 64,
    "initializer_range": 0.2,
    "pad_token_id": 0,
}
FAMILIES = {
    "llama": LlamaConfig(**SHAPE),
    "llama, tied": LlamaConfig(**SHAPE, tie_word_embeddings=True),
    "llama, a group for each head": LlamaConfig(**{**SHAPE, "num_key_value_heads": 4}),
    "qwen2": Qwen2Config(**{**SHAPE, "hidden_size": 64}),
    "qwen3": Qwen3Config(**SHAPE),
    "glm": GlmConfig(**SHAPE, attention_bias=True, rope_parameters={"rope_theta": 1e4, "partial_rotary_factor": 0.5}),
}


def _network(config: Any) -> PreTrainedModel:
    torch.manual_seed(0)
    network = AutoModelForCausalLM.from_config(config).eval()
    for name, parameter in network.named_parameters():  # biases start at 0 and norms at 1: nothing would show
        if parameter.dim() == 1:
            torch.nn.init.normal_(parameter, mean=0.0 if "bias" in name else 1.0, std=0.3)
    return network


@pytest.fixture(params=FAMILIES, scope="module")
def network(request: pytest.FixtureRequest) -> PreTrainedModel:
    return _network(FAMILIES[request.param])


def _expected(network: PreTrainedModel, sequences: list[list[int]]) -> torch.Tensor:
    """Logits after the last token, each sequence alone."""
    with torch.no_grad():
        return torch.stack([network(torch.tensor([ids])).logits[0, -1] for ids in sequences])


def test_prompts_and_further_tokens_have_the_logits_of_transformers(network: PreTrainedModel) -> None:
    decoder = Decoder.of(network)
    cache = decoder.cache(len(PROMPTS))
    logits = decoder.read(PROMPTS, cache=cache, slots=range(len(PROMPTS)))
    torch.testing.assert_close(logits, _expected(network, PROMPTS), rtol=1e-5, atol=1e-5)
    sequences = [list(prompt) for prompt in PROMPTS]
    for step in range(5):
        tokens = [(7 * step + 3 * row) % 50 for row in range(len(PROMPTS))]
        columns = [len(ids) for ids in sequences]
        sequences = [[*ids, token] for ids, token in zip(sequences, tokens, strict=True)]
        logits = decoder.extend(tokens, cache=cache, slots=range(len(tokens)), columns=columns)
        torch.testing.assert_close(logits, _expected(network, sequences), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("query_rows", [2, 512])
def test_pieces_of_any_length_have_the_logits_of_transformers(
    network: PreTrainedModel, monkeypatch: pytest.MonkeyPatch, query_rows: int
) -> None:
    """Whole prompts, pieces with history and single tokens, in one pass and in any order of slots."""
    monkeypatch.setattr("megatron_speech.inference.attention.QUERY_ROWS", query_rows)
    decoder = Decoder.of(network)
    cache = decoder.cache(6)
    random = np.random.default_rng(0)
    sequences = [random.integers(0, 50, 40).tolist() for _ in range(6)]
    read = [0] * 6
    for counts in ([3, 0, 1, 9, 0, 1], [1, 5, 1, 6, 0, 1], [7, 1, 5, 0, 2, 1], [1, 1, 0, 1, 1, 5], [5, 6, 7, 5, 1, 1]):
        rows = [row for row in random.permutation(6) if counts[row]]
        pieces = [
            Piece(slot=row, start=read[row], tokens=sequences[row][read[row] : read[row] + counts[row]]) for row in rows
        ]
        read = [start + count for start, count in zip(read, counts, strict=True)]
        logits = decoder.logits(decoder.append(pieces, cache=cache))
        expected = _expected(network, [sequences[row][: read[row]] for row in rows])
        torch.testing.assert_close(logits, expected, rtol=1e-5, atol=1e-5)


def test_a_slot_that_is_read_again_or_moved_forgets_who_was_there(network: PreTrainedModel) -> None:
    decoder = Decoder.of(network)
    cache = decoder.cache(3)
    decoder.read([[9] * 20, [4] * 20, [3, 1, 2]], cache=cache, slots=[0, 1, 2])
    decoder.read([[5, 6]], cache=cache, slots=[1])
    cache.move([2], [0], columns=3)
    logits = decoder.extend([7, 8], cache=cache, slots=[0, 1], columns=[3, 2])
    expected = _expected(network, [[3, 1, 2, 7], [5, 6, 8]])
    torch.testing.assert_close(logits, expected, rtol=1e-5, atol=1e-5)


def test_the_head_is_restricted_to_the_ids_that_may_come(network: PreTrainedModel) -> None:
    ids = torch.tensor([3, 4, 40])
    decoder = Decoder.of(network, ids_A=ids)
    logits = decoder.read(PROMPTS, cache=decoder.cache(len(PROMPTS)), slots=range(len(PROMPTS)))
    torch.testing.assert_close(logits, _expected(network, PROMPTS)[:, ids], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("config", "key"),
    [
        (GemmaConfig(**SHAPE), "model_type=gemma"),
        (LlamaConfig(**SHAPE, attention_bias=True), "attention_bias=True"),
        (LlamaConfig(**SHAPE, hidden_act="gelu"), "hidden_act=gelu"),
        (LlamaConfig(**SHAPE, rope_parameters={"rope_type": "linear", "factor": 2.0, "rope_theta": 1e4}), "linear"),
        (
            Qwen3Config(**SHAPE, use_sliding_window=True, sliding_window=16, max_window_layers=1),
            "use_sliding_window=True",
        ),
    ],
)
def test_what_the_pass_does_not_compute_is_refused(config: Any, key: str) -> None:
    with pytest.raises(ValueError, match=rf"^the model: .*{key}.*; convert another model$"):
        Decoder.of(_network(config))
