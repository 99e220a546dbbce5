"""Guards and retries, with an engine whose every answer is known."""

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from megatron_speech.config.stages.text_to_token import SynthesisConfig
from megatron_speech.inference.generate import Generation, Request
from megatron_speech.text_to_token.engines.interface import EngineError
from megatron_speech.text_to_token.synthesize import Synthesizer, longest_run, request_seed, speaker_of
from megatron_speech.text_tokenizer.tokenizer import TextTokenizer
from tests.toys import byte_vocabulary

SETTINGS = SynthesisConfig(
    min_codes_per_character=0.5, max_codes_per_character=2.0, spare_codes=3, max_repeats=4, attempts=3
)
TOKENIZER = TextTokenizer.load("bytes")
VOCABULARY = byte_vocabulary(50)


class FakeEngine:
    """Answers by a function of the request, `under_way` at once, last first; remembers what was asked."""

    def __init__(self, answer: Callable[[Request], Generation], under_way: int = 4) -> None:
        self.answer = answer
        self.under_way = under_way
        self.asked: list[Request] = []

    def generate(self, requests: Iterable[Request]) -> Iterator[tuple[int, Generation]]:
        numbered = enumerate(requests)
        while batch := list(itertools.islice(numbered, self.under_way)):
            self.asked += [request for _, request in batch]
            for number, request in reversed(batch):
                yield number, self.answer(request)


def _speech(count: int, *, stopped: bool = True) -> Generation:
    return Generation(tokens=[VOCABULARY.speech_id(n % 50) for n in range(count)], stopped=stopped)


def _synthesizer(answer: Callable[[Request], Generation]) -> tuple[Synthesizer, FakeEngine]:
    engine = FakeEngine(answer)
    return Synthesizer(engine=engine, tokenizer=TOKENIZER, vocabulary=VOCABULARY, settings=SETTINGS), engine


def test_codes_come_back_as_codes_in_order() -> None:
    synthesizer, engine = _synthesizer(lambda request: _speech(len(request.prompt)))
    results = synthesizer.synthesize(["abcd", "abcdefgh"], seed=0)
    assert [codes.tolist() for codes in results] == [list(range(6)), list(range(10))]
    assert [request.max_new_tokens for request in engine.asked] == [3 + 8 + 1, 3 + 16 + 1]
    assert synthesizer.counts["given_up"] == 0 and synthesizer.counts["codes"] == 16


def test_what_is_counted_belongs_to_the_texts_that_have_come() -> None:
    """A restart draws again what was under way: had it been counted already, it would be counted twice."""
    synthesizer, _ = _synthesizer(lambda request: _speech(0 if len(request.prompt) > 9 else 6))
    texts = ["abcd", "", "abcdefghijkl", "efgh", "abcdefghijkm"]
    for come, (_, codes) in enumerate(synthesizer.stream(zip(texts, texts, strict=True), seed=0), start=1):
        counts = synthesizer.counts
        assert counts["texts"] == come
        assert counts["given_up"] * SETTINGS.attempts == counts["too_short"] + counts["unspeakable"] * SETTINGS.attempts
        assert codes is None or len(codes) == 6
    assert (counts["given_up"], counts["samples"], counts["unspeakable"]) == (3, 2 + 2 * SETTINGS.attempts, 1)


def test_a_greedy_sample_is_not_drawn_again() -> None:
    engine = FakeEngine(lambda _: _speech(1))
    settings = replace(SETTINGS, temperature=0.0)
    synthesizer = Synthesizer(engine=engine, tokenizer=TOKENIZER, vocabulary=VOCABULARY, settings=settings)
    assert synthesizer.synthesize(["abcd"], seed=0) == [None]
    assert (len(engine.asked), synthesizer.counts["too_short"]) == (1, 1)


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
    assert len({request.seed for request in engine.asked}) == SETTINGS.attempts
    assert synthesizer.counts[fault] == SETTINGS.attempts and synthesizer.counts["given_up"] == 1


def test_only_refused_texts_are_drawn_again() -> None:
    good_seed = request_seed(5, "bad", 1)
    bad_first = request_seed(5, "bad", 0)
    synthesizer, engine = _synthesizer(lambda request: _speech(0 if request.seed == bad_first else 5))
    results = synthesizer.synthesize(["good", "bad"], seed=5)
    assert all(codes is not None for codes in results)
    assert [request.seed for request in engine.asked[2:]] == [good_seed]


def test_what_cannot_be_spoken_is_not_asked() -> None:
    synthesizer, engine = _synthesizer(lambda _: _speech(5))
    results = synthesizer.synthesize(["", "abcd"], seed=0)
    assert results[0] is None and results[1] is not None
    assert len(engine.asked) == 1
    assert synthesizer.counts["unspeakable"] == synthesizer.counts["given_up"] == 1


def test_keys_name_the_random_numbers() -> None:
    synthesizer, engine = _synthesizer(lambda _: _speech(5))
    synthesizer.synthesize(["abcd", "abcd"], seed=0)
    synthesizer.synthesize(["abcd", "abcd"], seed=0, keys=["d1/0", "d2/0"])
    first, second, third, fourth = (request.seed for request in engine.asked)
    assert first == second and third != fourth


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
    for settings in ({"temperature": -1.0}, {"top_p": 2.0}, {"spare_codes": -1}, {"device": "tpu"}):
        with pytest.raises(ValueError, match=f"synthesis.{next(iter(settings))}="):
            SynthesisConfig(**settings)


def test_types_of_codes() -> None:
    codes = _synthesizer(lambda _: _speech(5))[0].synthesize(["abcd"], seed=0)[0]
    assert codes is not None and codes.dtype == np.int32


def _drawn(request: Request) -> Generation:
    """Good or refused by the request's seed alone, as a sampled answer is."""
    return _speech(5 + request.seed % 2 if request.seed % 3 else 0)


@given(under_way=st.integers(1, 9), lengths=st.lists(st.integers(0, 4), max_size=30))
def test_the_stream_gives_each_item_once_whatever_the_batches(under_way: int, lengths: list[int]) -> None:
    items = [(f"d{number}:0", "abcd" if length else "...") for number, length in enumerate(lengths)]
    made = []
    for size in (1, under_way):
        engine = FakeEngine(_drawn, under_way=size)
        synthesizer = Synthesizer(engine=engine, tokenizer=TOKENIZER, vocabulary=VOCABULARY, settings=SETTINGS)
        results = list(synthesizer.stream(items, seed=1))
        assert sorted(number for number, _ in results) == list(range(len(items)))
        counts = synthesizer.counts
        assert counts["texts"] == len(items) and counts["given_up"] == sum(codes is None for _, codes in results)
        made.append({number: None if codes is None else codes.tolist() for number, codes in results})
    assert made[0] == made[1]


def test_an_endless_stream_is_read_as_it_is_answered() -> None:
    read = itertools.count()
    items = ((f"d{next(read)}:0", "abcd") for _ in itertools.repeat(None))
    synthesizer, engine = _synthesizer(lambda _: _speech(5))
    results = list(itertools.islice(synthesizer.stream(items, seed=0), 10))
    assert sorted(number for number, _ in results[:8]) == list(range(8))
    assert next(read) <= 10 + engine.under_way


def test_a_refused_item_joins_the_stream_again_before_new_ones() -> None:
    first = request_seed(0, "a", 0)
    synthesizer, engine = _synthesizer(lambda request: _speech(0 if request.seed == first else 5))
    engine.under_way = 1
    list(synthesizer.stream([("a", "abcd"), ("b", "abcd")], seed=0))
    expected = [first, request_seed(0, "a", 1), request_seed(0, "b", 0)]
    assert [request.seed for request in engine.asked] == expected


def test_what_an_engine_gave_before_it_died_is_kept() -> None:
    def answer(request: Request) -> Generation:
        if len(engine.asked) > 8:
            raise EngineError("synthesis.engine=fake died")
        return _speech(5)

    synthesizer, engine = _synthesizer(answer)
    kept = []
    with pytest.raises(EngineError, match="fake died"):
        for number, codes in synthesizer.stream(((f"{n}", "abcd") for n in range(100)), seed=0):
            assert codes is not None
            kept.append(number)
    assert sorted(kept) == list(range(8))


def test_one_voice_speaks_a_document() -> None:
    voices = ["ann", "ben", "cy"]
    assert speaker_of([], 0, "d:3") is None
    assert speaker_of(voices, 0, "d:3") == speaker_of(voices, 0, "d:700")
    drawn = Counter(speaker_of(voices, 0, f"d{number}:3") for number in range(3000))
    assert drawn.keys() == set(voices) and min(drawn.values()) > 900
    assert any(speaker_of(voices, 0, f"d{number}:0") != speaker_of(voices, 1, f"d{number}:0") for number in range(9))
