"""Batched, cached, left-padded generation against the plainest possible loop."""

import numpy as np
import pytest
import torch

from megatron_speech.inference.generate import Generation, Request, generate
from megatron_speech.inference.model import LanguageModel
from megatron_speech.inference.sampling import Sampling, allowed_ids, choose, uniform

PROMPTS = [[1, 2, 3], [40], [9, 8, 7, 6, 5, 4, 3], [100, 101], [33] * 12]
GREEDY = Sampling(temperature=0.0)


def _requests(limit: int = 12) -> list[Request]:
    return [Request(prompt=prompt, max_new_tokens=limit + n, seed=n) for n, prompt in enumerate(PROMPTS)]


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
    # A token that one plain run reaches early, so that rows stop at different steps and the batch shrinks.
    stop = _plain(model, requests[0], stop=-1, allowed=allowed).tokens[2]
    expected = [_plain(model, request, stop=stop, allowed=allowed) for request in requests]
    assert {each.stopped for each in expected} >= {True}
    made = generate(model, requests, sampling=GREEDY, stop=[stop], allowed=allowed, batch_size=batch_size)
    assert made == expected


def test_a_sample_does_not_depend_on_its_batch(model: LanguageModel) -> None:
    sampling = Sampling(temperature=1.0, top_p=0.9)
    together = generate(model, _requests(), sampling=sampling, stop=[0], batch_size=8)
    alone = [generate(model, [request], sampling=sampling, stop=[0])[0] for request in _requests()]
    assert together == alone


def test_seeds_differ_and_repeat(model: LanguageModel) -> None:
    requests = [Request(prompt=[5], max_new_tokens=20, seed=seed) for seed in (1, 2, 1)]
    first, second, again = generate(model, requests, sampling=Sampling(), stop=[0])
    assert first == again != second


def test_only_allowed_ids_come(model: LanguageModel) -> None:
    vocabulary = model.vocabulary
    for modality in ("text", "speech"):
        allowed = allowed_ids(vocabulary, modality)
        made = generate(model, _requests(), sampling=Sampling(), stop=[], allowed=allowed, batch_size=3)
        end = vocabulary.special_id("<|end_of_audio|>")
        speech = [vocabulary.is_speech(token) or token == end for each in made for token in each.tokens]
        assert all(speech) if modality == "speech" else not any(speech)


def test_limits_are_per_request(model: LanguageModel) -> None:
    made = generate(model, _requests(limit=3), sampling=GREEDY, stop=[])
    assert [len(generation.tokens) for generation in made] == [3, 4, 5, 6, 7]


def test_choice_follows_the_distribution() -> None:
    probability = torch.tensor([0.1, 0.2, 0.3, 0.4])
    numbers = torch.from_numpy(uniform(np.arange(20_000, dtype=np.uint64), 0))
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
    by_seed = uniform(np.arange(10_000, dtype=np.uint64), 7)
    by_step = np.array([uniform(np.array([12], dtype=np.uint64), step)[0] for step in range(2_000)])
    for numbers in (by_seed, by_step):
        assert numbers.min() >= 0 and numbers.max() < 1
        assert abs(numbers.mean() - 0.5) < 0.02 and abs(numbers.var() - 1 / 12) < 0.01


@pytest.mark.parametrize("options", [{"temperature": -1.0}, {"top_p": 0.0}, {"top_p": 1.5}])
def test_bad_settings_are_refused(options: dict) -> None:
    with pytest.raises(ValueError, match=r"sampling\.\w+="):
        Sampling(**options)
