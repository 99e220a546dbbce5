"""Guards and retries, with an engine whose every answer is known."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from megatron_speech.config.text_to_token import SynthesisConfig
from megatron_speech.inference.generate import Generation, Request
from megatron_speech.text_to_token.synthesize import Synthesizer, longest_run, request_seed
from megatron_speech.text_tokenizer import TextTokenizer
from tests.toys import byte_vocabulary

SETTINGS = SynthesisConfig(
    min_codes_per_character=0.5, max_codes_per_character=2.0, spare_codes=3, max_repeats=4, attempts=3
)
TOKENIZER = TextTokenizer.load("bytes")
VOCABULARY = byte_vocabulary(50)


class FakeEngine:
    """Answers by a function of the request; remembers what was asked."""

    def __init__(self, answer: Callable[[Request], Generation]) -> None:
        self.answer = answer
        self.asked: list[list[Request]] = []

    def generate(self, requests: Sequence[Request], *, progress: bool) -> list[Generation]:
        self.asked.append(list(requests))
        return [self.answer(request) for request in requests]


def _speech(count: int, *, stopped: bool = True) -> Generation:
    return Generation(tokens=[VOCABULARY.speech_id(n % 50) for n in range(count)], stopped=stopped)


def _synthesizer(answer: Callable[[Request], Generation]) -> tuple[Synthesizer, FakeEngine]:
    engine = FakeEngine(answer)
    return Synthesizer(engine=engine, tokenizer=TOKENIZER, vocabulary=VOCABULARY, settings=SETTINGS), engine


def test_codes_come_back_as_codes_in_order() -> None:
    synthesizer, engine = _synthesizer(lambda request: _speech(len(request.prompt)))
    results = synthesizer.synthesize(["abcd", "abcdefgh"], seed=0)
    assert [codes.tolist() for codes in results] == [list(range(6)), list(range(10))]  # type: ignore[union-attr]
    assert [request.max_new_tokens for request in engine.asked[0]] == [3 + 8 + 1, 3 + 16 + 1]
    assert synthesizer.counts["given_up"] == 0 and synthesizer.counts["codes"] == 16


@pytest.mark.parametrize(
    ("generation", "fault"),
    [
        (_speech(11, stopped=False), "runaway"),
        (_speech(1), "too_short"),
        (Generation(tokens=[VOCABULARY.speech_id(7)] * 5, stopped=True), "repeats"),
        (Generation(tokens=[], stopped=True), "too_short"),
    ],
)
def test_a_faulty_sample_is_drawn_again_and_then_given_up(generation: Generation, fault: str) -> None:
    synthesizer, engine = _synthesizer(lambda _: generation)
    assert synthesizer.synthesize(["abcd"], seed=0) == [None]
    assert len(engine.asked) == SETTINGS.attempts
    assert len({requests[0].seed for requests in engine.asked}) == SETTINGS.attempts
    assert synthesizer.counts[fault] == SETTINGS.attempts and synthesizer.counts["given_up"] == 1


def test_only_refused_texts_are_drawn_again() -> None:
    good_seed = request_seed(5, "bad", 1)
    bad_first = request_seed(5, "bad", 0)
    synthesizer, engine = _synthesizer(lambda request: _speech(0 if request.seed == bad_first else 5))
    results = synthesizer.synthesize(["good", "bad"], seed=5)
    assert all(codes is not None for codes in results)
    assert [request.seed for request in engine.asked[1]] == [good_seed]


def test_what_cannot_be_spoken_is_not_asked() -> None:
    synthesizer, engine = _synthesizer(lambda _: _speech(5))
    results = synthesizer.synthesize(["...", "abcd"], seed=0)
    assert results[0] is None and results[1] is not None
    assert len(engine.asked[0]) == 1
    assert synthesizer.counts["unspeakable"] == synthesizer.counts["given_up"] == 1


def test_keys_name_the_random_numbers() -> None:
    synthesizer, engine = _synthesizer(lambda _: _speech(5))
    synthesizer.synthesize(["abcd", "abcd"], seed=0)
    synthesizer.synthesize(["abcd", "abcd"], seed=0, keys=["d1/0", "d2/0"])
    same, different = engine.asked
    assert same[0].seed == same[1].seed
    assert different[0].seed != different[1].seed


def test_no_text_gives_no_codes() -> None:
    assert _synthesizer(lambda _: _speech(5))[0].synthesize([], seed=0) == []


@pytest.mark.parametrize(("tokens", "length"), [([], 0), ([4], 1), ([1, 1, 2, 2, 2, 1], 3), ([3, 3], 2)])
def test_longest_run(tokens: list[int], length: int) -> None:
    assert longest_run(tokens) == length


def test_settings_that_allow_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match="min_codes_per_character=3"):
        SynthesisConfig(min_codes_per_character=3)
    with pytest.raises(ValueError, match="attempts=0"):
        SynthesisConfig(attempts=0)


def test_types_of_codes() -> None:
    codes = _synthesizer(lambda _: _speech(5))[0].synthesize(["abcd"], seed=0)[0]
    assert codes is not None and codes.dtype == np.int32
