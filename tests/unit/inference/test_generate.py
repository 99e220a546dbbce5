"""Continuous batching over a cache of slots against the plainest possible loop."""

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from megatron_speech.inference.decoder import Decoder
from megatron_speech.inference.generate import (
    WINDOW_BATCHES,
    Generation,
    Request,
    generate_tokens,
    in_order,
)
from megatron_speech.inference.model import LanguageModel
from megatron_speech.inference.sampling import Sampling, allowed_ids, choose
from megatron_speech.randomness import uniform_at

PROMPTS = [[1, 2, 3], [40], [9, 8, 7, 6, 5, 4, 3], [100, 101], [33] * 12]
GREEDY = Sampling(temperature=0.0)
NUCLEUS = Sampling(temperature=1.0, top_p=0.9)
MIXED = [Request(prompt=prompt, max_new_tokens=1 + 5 * n, seed=n) for n, prompt in enumerate(PROMPTS * 2)]


def _requests(limit: int = 12) -> list[Request]:
    return [Request(prompt=prompt, max_new_tokens=limit + n, seed=n) for n, prompt in enumerate(PROMPTS)]


def _all(model: LanguageModel, requests: list[Request], **options: Any) -> list[Generation]:
    return in_order(generate_tokens(model, requests, **options), len(requests))


def _uniform(seeds: np.ndarray, steps: np.ndarray | int) -> np.ndarray:
    return uniform_at(seeds.astype(np.uint64), np.broadcast_to(steps, seeds.shape))


@pytest.fixture(scope="module")
def alone(model: LanguageModel) -> list[Generation]:
    return [_all(model, [request], sampling=NUCLEUS, stop=[0])[0] for request in MIXED]


def _plain(model: LanguageModel, request: Request, *, stop: int, allowed: torch.Tensor | None) -> Generation:
    """Greedy without a cache, one row."""
    ids = list(request.prompt)
    for _ in range(request.max_new_tokens):
        with torch.no_grad():
            logits = model.network(torch.tensor([ids])).logits[0, -1]
        if allowed is not None:
            logits[~allowed] = -torch.inf
        token = int(logits.argmax())
        if token == stop:
            return Generation(tokens=ids[len(request.prompt) :], stopped=True)
        ids.append(token)
    return Generation(tokens=ids[len(request.prompt) :], stopped=False)


@pytest.mark.parametrize("modality", [None, "text", "speech"])
@pytest.mark.parametrize("batch_size", [1, 2, 8])
def test_greedy_equals_one_row_without_cache(model: LanguageModel, batch_size: int, modality: str | None) -> None:
    allowed = None if modality is None else allowed_ids(model.vocabulary, modality)
    requests = _requests()
    # A token that one plain run reaches early, so that rows stop at different steps and are refilled.
    stop = _plain(model, requests[0], stop=-1, allowed=allowed).tokens[2]
    expected = [_plain(model, request, stop=stop, allowed=allowed) for request in requests]
    assert {each.stopped for each in expected} >= {True}
    made = _all(model, requests, sampling=GREEDY, stop=[stop], allowed=allowed, batch_size=batch_size)
    assert made == expected


def test_greedy_equals_transformers_generate(model: LanguageModel) -> None:
    made = _all(model, _requests(), sampling=GREEDY, stop=[], batch_size=2)
    for request, generation in zip(_requests(), made, strict=True):
        limit = request.max_new_tokens
        options = {"max_new_tokens": limit, "min_new_tokens": limit, "do_sample": False, "suppress_tokens": None}
        model.network.generation_config.eos_token_id = None
        theirs = model.network.generate(torch.tensor([request.prompt]), **options)[0, len(request.prompt) :]
        assert generation.tokens == theirs.tolist()


@given(data=st.data())
@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_neither_batch_nor_order_changes_a_sample(model: LanguageModel, alone: list[Generation], data: Any) -> None:
    """Sampled and greedy requests alike; exact here, where logits are far apart against rounding."""
    order = data.draw(st.permutations(range(len(MIXED))))
    batch_size = data.draw(st.integers(1, len(MIXED) + 1))
    made = dict(generate_tokens(model, (MIXED[n] for n in order), sampling=NUCLEUS, stop=[0], batch_size=batch_size))
    assert [made[order.index(number)] for number in range(len(MIXED))] == alone


def test_what_finishes_is_given_at_once_and_requests_are_read_a_window_ahead(model: LanguageModel) -> None:
    read = itertools.count()
    endless = (Request(prompt=[1 + next(read) % 7], max_new_tokens=3, seed=0) for _ in itertools.repeat(None))
    results = list(itertools.islice(generate_tokens(model, endless, sampling=GREEDY, stop=[], batch_size=2), 100))
    assert len({number for number, _ in results}) == 100
    assert next(read) <= 100 + 2 + WINDOW_BATCHES * 2


def test_long_prompts_are_read_in_several_passes(model: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = _all(model, _requests(), sampling=GREEDY, stop=[], batch_size=8)
    monkeypatch.setattr("megatron_speech.inference.generate.PREFILL_TOKENS", 8)
    assert _all(model, _requests(), sampling=GREEDY, stop=[], batch_size=8) == expected


def test_rows_that_are_read_together_are_of_like_length(model: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each row of a chunk is read to the end of the longest one: little of that may be for nothing."""
    columns_read, columns_used, extend = [], [], Decoder.extend

    def counted(decoder: Decoder, tokens: Any, *, cache: Any, slots: Any, columns: list[int]) -> torch.Tensor:
        masks = [mask for *_, mask in decoder.chunks(slots, columns)]
        columns_read.append(sum(mask.shape[0] * mask.shape[-1] for mask in masks))
        columns_used.append(sum(columns) + len(columns))
        return extend(decoder, tokens, cache=cache, slots=slots, columns=columns)

    monkeypatch.setattr(Decoder, "extend", counted)
    monkeypatch.setattr("megatron_speech.inference.attention.CHUNK_ROWS", 4)
    random = np.random.default_rng(0)
    lengths = random.poisson(20, 400)
    limits = np.maximum(lengths * random.normal(1, 0.15, 400), 1).astype(int).tolist()
    requests = [
        Request(prompt=[1] * length, max_new_tokens=limit, seed=0)
        for length, limit in zip(lengths, limits, strict=True)
    ]
    _all(model, requests, sampling=GREEDY, stop=[], batch_size=32)
    assert sum(columns_read) < 1.1 * sum(columns_used)


def test_no_request_gives_nothing(model: LanguageModel) -> None:
    assert list(generate_tokens(model, [], sampling=GREEDY, stop=[])) == []


def test_seeds_differ_and_repeat(model: LanguageModel) -> None:
    requests = [Request(prompt=[5], max_new_tokens=20, seed=seed) for seed in (1, 2, 1)]
    first, second, again = _all(model, requests, sampling=Sampling(), stop=[0])
    assert first == again != second


def test_only_allowed_ids_come(model: LanguageModel) -> None:
    vocabulary = model.vocabulary
    for modality in ("text", "speech"):
        allowed = allowed_ids(vocabulary, modality)
        made = _all(model, _requests(), sampling=Sampling(), stop=[], allowed=allowed, batch_size=3)
        end = vocabulary.special_id("<|end_of_audio|>")
        speech = [token in vocabulary.speech_ids or token == end for each in made for token in each.tokens]
        assert all(speech) if modality == "speech" else not any(speech)


def test_limits_are_per_request(model: LanguageModel) -> None:
    made = _all(model, _requests(limit=3), sampling=GREEDY, stop=[])
    assert [len(generation.tokens) for generation in made] == [3, 4, 5, 6, 7]


def test_choice_follows_the_distribution() -> None:
    probability = torch.tensor([0.1, 0.2, 0.3, 0.4])
    numbers = torch.from_numpy(_uniform(np.arange(20_000), 0))
    logits = probability.log().expand(20_000, 4)
    share = torch.bincount(choose(logits, sampling=Sampling(), uniform_B=numbers), minlength=4) / 20_000
    assert (share - probability).abs().max() < 0.02
    nucleus = torch.bincount(choose(logits, sampling=Sampling(top_p=0.6), uniform_B=numbers), minlength=4) / 20_000
    assert (nucleus - torch.tensor([0, 0, 3 / 7, 4 / 7])).abs().max() < 0.02


def test_impossible_ids_are_never_chosen() -> None:
    logits = torch.tensor([[-torch.inf, 0.0, -torch.inf]]).expand(3, 3)
    edges = torch.tensor([0.0, 0.5, 1 - 2**-53], dtype=torch.float64)
    for top_p in (1.0, 0.5):
        assert choose(logits, sampling=Sampling(top_p=top_p), uniform_B=edges).tolist() == [1, 1, 1]


def test_uniform_numbers_are_uniform_in_seed_and_step() -> None:
    by_seed = _uniform(np.arange(10_000), 7)
    by_step = _uniform(np.full(2_000, 12), np.arange(2_000))
    for numbers in (by_seed, by_step):
        assert numbers.min() >= 0 and numbers.max() < 1
        assert abs(numbers.mean() - 0.5) < 0.02 and abs(numbers.var() - 1 / 12) < 0.01


@pytest.mark.parametrize("options", [{"temperature": -1.0}, {"top_p": 0.0}, {"top_p": 1.5}])
def test_bad_settings_are_refused(options: dict) -> None:
    with pytest.raises(ValueError, match=r"sampling\.\w+="):
        Sampling(**options)
