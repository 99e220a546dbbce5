#!/usr/bin/env python
"""Tokens scored per CPU-second by `evaluate`, over a bare transformers forward pass of the same padded batches.

Items have a context of 100 to 400 tokens, as a short story or a spoken question has, and four candidates of 10 to 60.
Ours reads a context once for its four candidates, and computes logits of scored tokens only. Theirs is what a user
would write first: context and candidate joined, sorted by length, padded on the right. Theirs is timed without reading
the scores off its logits. It runs at several batch sizes, and `ratio` is against its best. `ratio_without_logits` is
against the same pass without the output head: what sharing contexts gains alone.

The model is random and has the shape of the miniature's, SmolLM2 135M. Scores of both must be equal. One thread, both
alternate in one process, medians of CPU time. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from megatron_speech.grouping import grouped_by_padded_size
from megatron_speech.inference.model import TOKENS_PER_BATCH, LanguageModel
from megatron_speech.text_tokenizer.tokenizer import TextTokenizer
from megatron_speech.vocabulary import Vocabulary

LIMIT = 1.5
CONTEXT, CANDIDATE, CANDIDATES = (100, 400), (10, 60), 4
BATCHES = (1024, TOKENS_PER_BATCH)
"""Padded tokens of their batches."""
CLOSE = 1e-4
"""Greatest difference of two log-probabilities in float32, of about 11 nats each."""
Request = tuple[list[int], list[int]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="a small model, few items, one round; nothing is judged")
    parser.add_argument("--rounds", type=int, default=3, help="how often each way runs; medians are judged")
    options = parser.parse_args()
    short, rounds = options.short, 1 if options.short else options.rounds
    torch.set_num_threads(1)
    model = random_model(layers=2 if short else 30)
    requests = made_up_requests(2 if short else 6, model.vocabulary.size)
    require_equal_scores(model, requests[:CANDIDATES])
    ways: dict[str, Callable[[], object]] = {"ours": lambda: model.token_log_probabilities(requests)}
    ways |= {f"theirs, batches of {size}": forward_pass(model, requests, size) for size in BATCHES}
    with timed_head(model) as head:
        times = [{name: cpu_seconds(way, head) for name, way in ways.items()} for _ in range(rounds)]
    ours, *theirs = (medians([each[name] for each in times]) for name in ways)
    scored = sum(len(candidate) for _, candidate in requests)
    for name, (seconds, _) in zip(ways, (ours, *theirs), strict=True):
        print(f"{name}: {scored / seconds:.1f} tokens scored per CPU-second")
    result = {"name": "evaluate", "ratio": round(min(whole for whole, _ in theirs) / ours[0], 3)}
    result |= {"ratio_without_logits": round(min(layers for _, layers in theirs) / ours[0], 3)}
    result |= {"scored_per_cpu_second": round(scored / ours[0], 1), "limit": LIMIT, "better": "higher"}
    print(json.dumps(result))
    raise SystemExit(0 if short or result["ratio"] >= LIMIT else 1)


def random_model(*, layers: int) -> LanguageModel:
    vocabulary = Vocabulary(num_text_ids=49_152, num_speech_ids=4096, end_of_document=0)
    torch.manual_seed(0)
    shape = {"hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": layers}
    heads = {"num_attention_heads": 9, "num_key_value_heads": 3}
    network = LlamaForCausalLM(LlamaConfig(vocab_size=vocabulary.size, tie_word_embeddings=True, **shape, **heads))
    return LanguageModel(network=network.eval(), tokenizer=TextTokenizer.load("bytes"), vocabulary=vocabulary)


def made_up_requests(items: int, size: int) -> list[Request]:
    """Contexts with four candidates each, of random ids."""
    drawn = random.Random(0)

    def ids(least: int, most: int) -> list[int]:
        return drawn.choices(range(size), k=drawn.randint(least, most))

    contexts = [ids(*CONTEXT) for _ in range(items)]
    return [(context, ids(*CANDIDATE)) for context in contexts for _ in range(CANDIDATES)]


def padded_batches(requests: Sequence[Request], most: int) -> Iterator[tuple[Tensor, Tensor, list[int]]]:
    """Ids, attention mask and numbers of the requests of batches of at most `most` padded tokens, longest first."""

    def length(number: int) -> int:
        return sum(map(len, requests[number]))

    order = sorted(range(len(requests)), key=length, reverse=True)
    for numbers in grouped_by_padded_size(order, length=length, max_size=most):
        rows = [torch.tensor([*requests[number][0], *requests[number][1]]) for number in numbers]
        ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
        seen = torch.arange(ids.shape[1]) < torch.tensor([len(row) for row in rows])[:, None]
        yield ids, seen.long(), numbers


def forward_pass(model: LanguageModel, requests: Sequence[Request], most: int) -> Callable[[], None]:
    """The bare pass over all batches, which are made before."""
    batches = list(padded_batches(requests, most))

    @torch.inference_mode()
    def run() -> None:
        for ids, mask, _ in batches:
            model.network(input_ids=ids, attention_mask=mask, use_cache=False)

    return run


@torch.inference_mode()
def require_equal_scores(model: LanguageModel, requests: Sequence[Request]) -> None:
    """Both ways must give the same log-probabilities."""
    ours = model.token_log_probabilities(requests)
    for ids, mask, numbers in padded_batches(requests, TOKENS_PER_BATCH):
        log_probs = model.network(input_ids=ids, attention_mask=mask).logits.log_softmax(-1)
        for row, number in enumerate(numbers):
            context, candidate = requests[number]
            places = torch.arange(len(candidate)) + len(context) - 1
            theirs = log_probs[row, places, torch.tensor(candidate)]
            np.testing.assert_allclose(ours[number], theirs.numpy(), rtol=0, atol=CLOSE)


@contextmanager
def timed_head(model: LanguageModel) -> Iterator[list[float]]:
    """Within the context, the CPU seconds of every call of the output head are added to the list."""
    seconds: list[float] = []
    head = model.network.get_output_embeddings()
    before = head.register_forward_pre_hook(lambda *_: seconds.append(-time.process_time()))
    after = head.register_forward_hook(lambda *_: seconds.append(time.process_time()))
    yield seconds
    before.remove()
    after.remove()


def cpu_seconds(run: Callable[[], object], head: list[float]) -> tuple[float, float]:
    """CPU seconds of a call, with and without the output head, whose times are in `head`."""
    head.clear()
    start = time.process_time()
    run()
    whole = time.process_time() - start
    return whole, whole - sum(head)


def medians(times: Sequence[tuple[float, float]]) -> tuple[float, ...]:
    return tuple(map(statistics.median, zip(*times, strict=True)))


if __name__ == "__main__":
    main()
