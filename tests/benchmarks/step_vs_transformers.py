#!/usr/bin/env python
"""Forward and backward on a CPU: our megatron-core model against transformers' Llama of the same shape.

One thread, float32 and bfloat16, steps of both interleaved in one process, medians of CPU time. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable

import torch
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM

from megatron_speech.config.run.model import ModelConfig
from megatron_speech.config.run.parallel import ParallelConfig, PrecisionConfig
from megatron_speech.model.builder import build_model
from megatron_speech.model.forward import forward
from megatron_speech.model.loss import training_loss
from megatron_speech.model.precision import DTYPES
from megatron_speech.parallel import groups
from megatron_speech.parallel.layout import ParallelLayout
from megatron_speech.vocabulary import Vocabulary

SMOLLM2_135M = ModelConfig(
    num_layers=30, hidden_size=576, ffn_hidden_size=1536, num_attention_heads=9, num_query_groups=3
)
SMALL = ModelConfig(num_layers=6, hidden_size=256, ffn_hidden_size=688, num_attention_heads=4, num_query_groups=2)
SHAPES = {
    "small": (SMALL, Vocabulary(num_text_ids=300, num_speech_ids=1024), 4),
    "smollm2-135m-instruct": (SMOLLM2_135M, Vocabulary(num_text_ids=49_152, num_speech_ids=1024), 1),
}
LENGTH, DOCUMENTS, LIMIT = 512, 4, 1.15


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", choices=SHAPES, default="small")
    parser.add_argument("--dtype", choices=DTYPES, default="float32")
    parser.add_argument("--steps", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    model, vocabulary, num_rows = SHAPES[options.shape]
    groups.initialize(ParallelLayout.of(ParallelConfig(), world_size=1), seed=0)
    tokens = torch.randint(0, vocabulary.size, (num_rows, LENGTH))
    ours = _ours(model, vocabulary, options.dtype, tokens)
    theirs = _theirs(model, vocabulary, options.dtype, tokens)
    times = [(_cpu_seconds(ours), _cpu_seconds(theirs)) for _ in range(options.steps + 1)][1:]
    seconds, reference = (statistics.median(column) for column in zip(*times, strict=True))
    result = {"name": f"step_vs_transformers/{options.shape}/{options.dtype}", "ratio": round(seconds / reference, 3)}
    result |= {"limit": LIMIT, "better": "lower"}
    print(json.dumps({**result, "seconds": round(seconds, 3), "transformers": round(reference, 3)}))


def _ours(model: ModelConfig, vocabulary: Vocabulary, dtype: str, tokens: torch.Tensor) -> Callable[[], None]:
    precision = PrecisionConfig(dtype=dtype)
    (chunk,) = build_model(model, vocabulary=vocabulary, parallel=ParallelConfig(), precision=precision)
    longest = LENGTH // DOCUMENTS
    cu_seqlens = torch.arange(0, tokens.numel() + 1, longest, dtype=torch.int32)
    everything, source, weights = torch.ones_like(tokens), torch.zeros(len(tokens)), torch.ones(1, 2)

    def step() -> None:
        chunk.zero_grad()
        losses = forward(chunk, tokens=tokens, labels=tokens, cu_seqlens=cu_seqlens, max_seqlen=longest)
        speech = tokens >= vocabulary.first_speech_id
        loss, _ = training_loss(losses, loss_mask=everything, speech_targets=speech, source=source, weights=weights)
        loss.backward()

    return step


def _theirs(model: ModelConfig, vocabulary: Vocabulary, dtype: str, tokens: torch.Tensor) -> Callable[[], None]:
    llama: nn.Module = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=vocabulary.padded_size,
            hidden_size=model.hidden_size,
            intermediate_size=model.ffn_hidden_size,
            num_hidden_layers=model.num_layers,
            num_attention_heads=model.num_attention_heads,
            num_key_value_heads=model.num_query_groups,
            tie_word_embeddings=True,
            attn_implementation="sdpa",
        )
    ).to(DTYPES[dtype])
    llama.train()

    def step() -> None:
        llama.zero_grad()
        llama(input_ids=tokens, labels=tokens).loss.backward()

    return step


def _cpu_seconds(step: Callable[[], None]) -> float:
    start = time.process_time()
    step()
    return time.process_time() - start


if __name__ == "__main__":
    main()
