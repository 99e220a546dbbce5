#!/usr/bin/env python
"""Generated speech tokens per CPU-second: our bulk path against `transformers.generate`, same weights, one thread.

Ours is `Synthesizer.stream`, guards and prompts included, over its engine. Theirs is what a user would write: batches
in the order of arrival, padded on the left, ids that are no speech suppressed, greedy; it runs at several batch sizes
and `ratio` is against its best. Its result must be the same tokens. Ours against the engine called alone on prepared
requests shows what guards and prompts cost.

By default the weights are random, in the shape of the miniature's text-to-token model (5 million parameters). Random
weights do not stop where speech ends, so that lengths are given: texts are spans of Poisson(10) words, and each is to
have about 4.9 codes per word, the ratio of that model. Ours gives up a row at its own length; `transformers.generate`
has one length for a batch, the longest, and what is too much is cut off afterwards. With `--model` (a folder of
tools/convert_to_hf.py) rows stop where the model ends the speech, or at the guard's limit; `transformers.generate` then
stops with its last row. All three alternate in one process, `--rounds` times; CPU time, medians over the rounds (one
round by default: a first look; what is reported takes three). The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from megatron_speech.config.stages.text_to_token import SynthesisConfig
from megatron_speech.inference.generate import Generation, Request, in_order
from megatron_speech.inference.model import LanguageModel
from megatron_speech.inference.sampling import Sampling, allowed_ids
from megatron_speech.text_to_token.engines.interface import SynthesisEngine
from megatron_speech.text_to_token.engines.transformers import TransformersEngine
from megatron_speech.text_to_token.prompts import prompt, stop_id
from megatron_speech.text_to_token.synthesize import Synthesizer
from megatron_speech.text_tokenizer.tokenizer import TextTokenizer
from megatron_speech.vocabulary import Vocabulary

LIMIT, ENGINE_LIMIT = 3.0, 0.95
CODES_PER_WORD, MEAN_WORDS = 4.9, 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="a small model and few texts, and nothing is judged")
    parser.add_argument("--model", type=Path, help="Hugging Face folder of a text-to-token model; by default random")
    parser.add_argument("--batch-size", type=int, default=SynthesisConfig().batch_size)
    parser.add_argument("--their-batch-sizes", type=int, nargs="+", default=[32, 64, 128])
    parser.add_argument("--texts", type=int, help="by default 6 batches")
    parser.add_argument("--rounds", type=int, default=1, help="medians of so many")
    args = parser.parse_args()
    torch.set_num_threads(1)
    batch_size, theirs = (4, [2, 4]) if args.short else (args.batch_size, args.their_batch_sizes)
    texts = made_up_spans(args.texts or (12 if args.short else 6 * batch_size))
    result = measure(
        args.model, texts, batch_size=batch_size, their_batch_sizes=theirs, rounds=args.rounds, short=args.short
    )
    print(json.dumps(result))
    assert not result["different"], "transformers.generate made other tokens"
    good = result["ratio"] >= LIMIT and result["engine_ratio"] >= ENGINE_LIMIT
    raise SystemExit(0 if args.short or good else 1)


def measure(
    folder: Path | None, texts: list[str], *, batch_size: int, their_batch_sizes: list[int], rounds: int, short: bool
) -> dict[str, Any]:
    """Medians of all, and what was compared."""
    model = LanguageModel.load(folder) if folder else random_model(num_layers=1 if short else 6)
    # Nothing is refused: a greedy sample would only be the same again, and both sides are to make the same tokens.
    settings = SynthesisConfig(
        temperature=0, batch_size=batch_size, attempts=1, min_codes_per_character=0, max_repeats=10_000
    )
    engine: SynthesisEngine = TransformersEngine(model=model, sampling=Sampling(temperature=0), batch_size=batch_size)
    recorder = Recorder(engine, None if folder else [span_codes(text) for text in texts])
    synthesizer = Synthesizer(
        engine=recorder, tokenizer=model.tokenizer, vocabulary=model.vocabulary, settings=settings
    )
    items = [(f"{number}:0", text) for number, text in enumerate(texts)]
    times: dict[str | int, list[float]] = {name: [] for name in ("bulk", "engine", *their_batch_sizes)}
    different = 0
    for _ in range(rounds):
        start = time.process_time()
        codes = in_order(synthesizer.stream(items, seed=0), len(texts))
        times["bulk"].append(time.process_time() - start)
        requests = recorder.requests

        start = time.process_time()
        alone = in_order(engine.generate(requests), len(texts))
        times["engine"].append(time.process_time() - start)

        for size in their_batch_sizes:
            start = time.process_time()
            theirs = list(transformers_generate(model, texts, requests, batch_size=size))
            times[size].append(time.process_time() - start)
            different += sum(ours.tokens != other for ours, other in zip(alone, theirs, strict=True))

    first = model.vocabulary.first_speech_id
    made = [None if each is None else (each + first).tolist() for each in codes]
    assert all(ids is None or ids == each.tokens for ids, each in zip(made, alone, strict=True)), "not the engine's ids"
    seconds = {name: statistics.median(values) for name, values in times.items()}
    best = min(their_batch_sizes, key=seconds.__getitem__)
    tokens = sum(len(generation.tokens) for generation in alone)
    return {
        "name": "synthesis",
        "ratio": round(seconds[best] / seconds["bulk"], 3),
        "limit": LIMIT,
        "better": "higher",
        "engine_ratio": round(seconds["engine"] / seconds["bulk"], 3),
        "engine_limit": ENGINE_LIMIT,
        "tokens_per_cpu_second": round(tokens / seconds["bulk"]),
        "transformers_tokens_per_cpu_second": {size: round(tokens / seconds[size]) for size in their_batch_sizes},
        "texts": len(texts),
        "different": different,
        "batch_size": batch_size,
        "tokens": tokens,
        "longest": max(len(generation.tokens) for generation in alone),
        "weights": folder.name if folder else "random",
    }


def transformers_generate(
    model: LanguageModel, texts: list[str], requests: list[Request], *, batch_size: int
) -> Iterator[list[int]]:
    """Greedy speech ids of each text, cut at its own limit."""
    vocabulary, stop = model.vocabulary, stop_id(model.vocabulary)
    silent = (~allowed_ids(vocabulary, "speech")).nonzero()[:, 0].tolist()
    for start in range(0, len(texts), batch_size):
        limits = [request.max_new_tokens for request in requests[start : start + batch_size]]
        prompts = [
            prompt(text, tokenizer=model.tokenizer, vocabulary=vocabulary) for text in texts[start : start + batch_size]
        ]
        longest = max(len(ids) for ids in prompts)
        made = model.network.generate(
            torch.tensor([[0] * (longest - len(ids)) + ids for ids in prompts]),
            attention_mask=torch.tensor([[0] * (longest - len(ids)) + [1] * len(ids) for ids in prompts]),
            max_new_tokens=max(limits),
            do_sample=False,
            suppress_tokens=silent,
            eos_token_id=stop,
            pad_token_id=stop,
        )
        for row, limit in zip(made[:, longest:].tolist(), limits, strict=True):
            row = row[:limit]
            yield row[: row.index(stop)] if stop in row else row


@dataclass
class Recorder:
    """An engine that notes what it is asked; with `lengths`, a row stops when it has its length."""

    engine: SynthesisEngine
    lengths: list[int] | None

    def generate(self, requests: Iterable[Request]) -> Iterator[tuple[int, Generation]]:
        """As `SynthesisEngine`; the length stands for the stop that a trained model would give."""
        self.requests: list[Request] = []

        def asked() -> Iterator[Request]:
            for number, request in enumerate(requests):
                limit = self.lengths[number] if self.lengths else request.max_new_tokens
                self.requests.append(replace(request, max_new_tokens=limit))
                yield self.requests[-1]

        for number, generation in self.engine.generate(asked()):
            yield number, replace(generation, stopped=True) if self.lengths else generation


def random_model(*, num_layers: int) -> LanguageModel:
    """The shape of the miniature's model, with weights wide enough that the greedy choice is clear."""
    vocabulary = Vocabulary(num_text_ids=257, num_speech_ids=1024, end_of_document=256)
    torch.manual_seed(0)
    network = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=vocabulary.size,
            hidden_size=256,
            intermediate_size=688,
            num_hidden_layers=num_layers,
            num_attention_heads=4,
            num_key_value_heads=2,
            initializer_range=0.1,
        )
    )
    return LanguageModel(network=network.eval(), tokenizer=TextTokenizer.load("bytes"), vocabulary=vocabulary)


def made_up_spans(count: int) -> list[str]:
    """Spans of Poisson(10) words, of the lengths of English words."""
    rng = random.Random(0)
    lengths = np.maximum(np.random.default_rng(0).poisson(MEAN_WORDS, count), 1)
    sizes = rng.choices(range(1, 13), [3, 17, 21, 17, 11, 9, 8, 6, 4, 2, 1, 1], k=int(lengths.sum()))
    words = iter("".join(rng.choice("etaoinshrdlu") for _ in range(size)) for size in sizes)
    return [" ".join(next(words) for _ in range(length)) for length in lengths]


def span_codes(text: str) -> int:
    """Codes of a made-up span: by its words, some of them slower."""
    rng = random.Random(text)
    return max(1, round(rng.gauss(1, 0.1) * CODES_PER_WORD * len(text.split())))


if __name__ == "__main__":
    main()
