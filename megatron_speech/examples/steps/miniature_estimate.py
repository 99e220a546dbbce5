"""Estimates the duration of the miniature on this machine from a ten-second probe, and prints it as one line.

estimate: about 27 minutes after the downloads ...

The costs below are seconds on two idle cores with the speed `MEASURED`. The probe measures this machine's speed at
three kinds of work: training steps in the number format of `dtype: auto`, training steps in float32, and Python.
Two processes run it at once, because a run keeps two cores busy. Limitation: disks are not probed, and other work on
the machine makes it appear slow.
"""

from __future__ import annotations

import json
import multiprocessing
import time
from collections import defaultdict
from collections.abc import Callable
from multiprocessing.synchronize import Barrier
from typing import TYPE_CHECKING, Literal

from megatron_speech.examples.steps.miniature_budget import AMOUNTS, amount

if TYPE_CHECKING:
    import torch

Kind = Literal["training", "float32", "python"]
Rates = dict[Kind, float]
"""Rounds of the probe per second, by kind of work, of the slower process."""

MEASURED: Rates = {"training": 18.0, "float32": 18.7, "python": 3800.0}
"""Rates of the machine on which costs were measured: two cores of an AMD EPYC, which trained in float32."""
ALWAYS: dict[Kind, float] = {"training": 0.0, "float32": 215.0, "python": 95.0}
"""Seconds of any budget: starts of sixty commands, loading and saving of models, decoding of twelve recordings."""
EACH: dict[str, dict[Kind, float]] = {
    "hibari_utterances": {"float32": 0.046},  # synthesised and encoded
    "flite_utterances": {"float32": 0.186},  # by four voices
    "heldout_utterances": {"float32": 2.6},  # read back by two recognisers
    "cloze_items": {"training": 5.8, "float32": 0.6},
    "questions": {"training": 2.6},  # by likelihood, and in the model's own words
    "heldout_documents": {"training": 2.9},
    "spoken_lines": {"training": 2.3, "float32": 0.4},  # recognised, said, and read back
    "tokenizer_steps": {"float32": 0.82},
    "text_to_token_steps": {"training": 0.58, "float32": 0.18},
    "round_trip_texts": {"float32": 0.46},
    "renderings": {"float32": 0.0148},  # interleaved documents
    "pretrain_steps": {"training": 11.8, "float32": 6.1},  # optimizer and communication run in float32
    "decoder_steps": {"float32": 0.27},
    "claim_utterances": {"float32": 0.046},
    "claim_epochs": {"float32": 8.0},  # interleaved documents of a thousand sentences
    "claim_steps": {"training": 0.33, "float32": 0.17},  # of two models
}
"""Seconds for each of the amounts in budget.py."""
EACH_IN: dict[str, dict[str, float]] = {
    "hibari_utterances": {"audio-train": 1, "codes-train": 1},
    "flite_utterances": {"audio-train": 1, "codes-train": 1},
    "heldout_utterances": {"tokenizer-report": 1},
    "cloze_items": {"evaluation-before": 1, "evaluation-after": 1},
    "questions": {"evaluation-before": 1, "evaluation-after": 1},
    "heldout_documents": {"evaluation-before": 1, "evaluation-after": 1},
    "spoken_lines": {"evaluation-before": 1, "evaluation-after": 1},
    "tokenizer_steps": {"tokenizer": 1},
    "text_to_token_steps": {"text-to-token": 1},
    "round_trip_texts": {"round-trip": 1},
    "renderings": {"interleaved": 1},
    "pretrain_steps": {"pretrain-first-half": 1, "pretrain-second-half": 1},
    "decoder_steps": {"speech-decoder": 1},
    "claim_utterances": {"claim-audio-train": 1, "claim-codes-train": 1},
    "claim_epochs": {"claim-interleaved": 1},
    "claim_steps": {"claim-interleaved-0": 1, "claim-paired-0": 1},
}
"""Steps that take the seconds of `EACH`, with their proportions."""
ALWAYS_IN: dict[str, float] = {
    "corpus": 4,
    "audio-heldout": 2,
    "audio-human": 2,
    "audio-questions": 2,
    "audio-cloze": 2,
    "codes-train": 5,
    "codes-heldout": 6,
    "codes-human": 12,
    "codes-questions": 6,
    "codes-cloze": 7,
    "text-to-token-export": 5,
    "round-trip": 5,
    "interleaved": 13,
    "interleaved-heldout": 10,
    "text": 4,
    "base": 9,
    "pretrain-first-half": 18,
    "pretrain-second-half": 18,
    "export-before": 6,
    "export": 5,
    "samples": 30,
    "decode": 110,
}
"""Steps that take the seconds of `ALWAYS`, with their proportions."""

PROBE_SECONDS = 3.0
"""Duration of the probe for each kind of work."""


def estimate(minutes: float, rates: Rates) -> float:
    """Seconds of all steps for a budget of `minutes`, after the downloads, on a machine with these rates."""
    return sum(seconds_by_step(minutes, rates).values())


def seconds_by_step(minutes: float, rates: Rates) -> dict[str, float]:
    """Seconds of each step for a budget of `minutes`, after the downloads."""
    amounts = {name: amount(name, minutes) for name in AMOUNTS}
    geography = amounts.pop("geography_documents") * amounts.pop("geography_renderings")
    amounts["renderings"] = amounts.pop("interleaved_documents") + geography
    costs = [(ALWAYS, 1, ALWAYS_IN), *((EACH[name], number, EACH_IN[name]) for name, number in amounts.items())]
    spent: dict[str, float] = defaultdict(float)
    for each, number, steps in (cost for cost in costs if cost[1]):
        seconds = sum(each[kind] * number * MEASURED[kind] / rates[kind] for kind in each)
        for step, share in steps.items():
            spent[step] += seconds * share / sum(steps.values())
    return spent


def probe() -> Rates:
    """Speed of each kind of work while two processes do it: the rates of the slower process."""
    context = multiprocessing.get_context("spawn")
    together, results = context.Barrier(2), context.Queue()
    workers = [context.Process(target=_measure, args=(together, results)) for _ in range(2)]
    for worker in workers:
        worker.start()
    found: list[Rates] = [results.get() for _ in workers]
    for worker in workers:
        worker.join()
    return {kind: min(rates[kind] for rates in found) for kind in MEASURED}


def _measure(together: Barrier, results: multiprocessing.Queue[Rates]) -> None:
    """Measure each kind of work, at the same time as the other process; runs in a worker process."""
    import torch

    from megatron_speech.platform.number_format import resolve_dtype

    torch.set_num_threads(1)
    dtype, _ = resolve_dtype("auto", key="dtype", gpu=False)
    work: dict[Kind, Callable[[], object]] = {
        "training": _training_step(getattr(torch, dtype)),
        "float32": _training_step(torch.float32),
        "python": _python_round,
    }
    rates: Rates = {}
    for kind, do in work.items():
        do()
        together.wait()
        rates[kind] = _rounds_per_second(do)
    results.put(rates)


def _rounds_per_second(do: Callable[[], object]) -> float:
    begin, rounds = time.perf_counter(), 0
    while time.perf_counter() - begin < PROBE_SECONDS:
        do()
        rounds += 1
    return rounds / (time.perf_counter() - begin)


def _training_step(dtype: torch.dtype) -> Callable[[], object]:
    """Forward and backward pass of one MLP of the base model (576 -> 1536 -> 576) over 512 tokens."""
    import torch

    mlp = torch.nn.Sequential(torch.nn.Linear(576, 1536), torch.nn.SiLU(), torch.nn.Linear(1536, 576)).to(dtype)
    hidden = torch.randn(512, 576, dtype=dtype)
    return lambda: mlp(hidden).sum().backward()


def _python_round() -> object:
    """Write and read a JSON document of some 10 KB."""
    return json.loads(json.dumps([{"id": str(number), "tokens": list(range(number))} for number in range(60)]))


def print_estimate(minutes: float) -> float:
    """Print the estimate for a budget, and return it in seconds."""
    rates = probe()
    seconds = estimate(minutes, rates)
    print(
        f"estimate: about {max(1, round(seconds / 60))} minutes after the downloads "
        f"(probe: training {rates['training']:.0f}, float32 {rates['float32']:.0f}, Python {rates['python']:.0f} "
        "rounds per second)",
        flush=True,
    )
    return seconds
