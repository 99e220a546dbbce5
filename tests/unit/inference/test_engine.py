"""Answers in kept slots against bulk generation, and against the plainest possible loop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from megatron_speech.inference.decoder import Decoder
from megatron_speech.inference.engine import EngineFullError, GenerationEngine, answer_each
from megatron_speech.inference.generate import Generation, Request, generate_tokens, in_order
from megatron_speech.inference.model import LanguageModel
from megatron_speech.inference.sampling import IdSet, Sampling, allowed_ids
from megatron_speech.inference.slot import Answer, AnswerSettings, Slot

GREEDY = Sampling(temperature=0.0)
NUCLEUS = Sampling(temperature=1.0, top_p=0.9)
RANDOM = np.random.default_rng(1)
PROMPTS = [RANDOM.integers(0, 300, length).tolist() for length in (3, 1, 7, 2, 12, 30, 5, 1, 19, 4)]
WISHES = [
    AnswerSettings(max_new_tokens=1 + 4 * n, stop=[7, 300], seed=n, sampling=GREEDY if n % 3 == 0 else NUCLEUS)
    for n in range(len(PROMPTS))
]
hypothesis_settings = settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def begun(engine: GenerationEngine, prompt: Sequence[int], wish: AnswerSettings) -> Answer:
    slot = engine.open()
    slot.append(prompt)
    return slot.answer(wish)


def bulk(model: LanguageModel, prompt: Sequence[int], wish: AnswerSettings, allowed: Any = None) -> Generation:
    request = Request(prompt=prompt, max_new_tokens=wish.max_new_tokens, seed=wish.seed)
    ((_, made),) = generate_tokens(model, [request], sampling=wish.sampling, stop=wish.stop, allowed=allowed)
    return made


@pytest.fixture(scope="module")
def alone(model: LanguageModel) -> list[list[int]]:
    return [bulk(model, prompt, wish).tokens for prompt, wish in zip(PROMPTS, WISHES, strict=True)]


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many tokens each pass has read."""
    counts: list[int] = []
    append = Decoder.append

    def counted(decoder: Decoder, pieces: Any, **options: Any) -> torch.Tensor:
        counts.append(sum(len(piece.tokens) for piece in pieces))
        return append(decoder, pieces, **options)

    monkeypatch.setattr(Decoder, "append", counted)
    return counts


@pytest.mark.parametrize("modality", [None, "text", "speech"])
def test_an_answer_has_the_tokens_of_bulk_generation(model: LanguageModel, modality: Any) -> None:
    mask = None if modality is None else allowed_ids(model.vocabulary, modality)
    engine = GenerationEngine(model, slots=1)
    reasons = set()
    for prompt, wish in zip(PROMPTS, WISHES, strict=True):
        changes = {"allowed": None if mask is None else IdSet.of(mask), "stop": [7, 300, *range(20, 30)]}
        wish = AnswerSettings(**{**vars(wish), **changes})
        with engine.open() as slot:
            slot.append(prompt)
            answer = slot.answer(wish)
            expected = bulk(model, prompt, wish, mask)
            assert list(answer) == answer.tokens == expected.tokens
            assert slot.ids == prompt + expected.tokens
            assert answer.reason == ("stop" if expected.stopped else "length")
            reasons.add(answer.reason)
    assert reasons == {"stop", "length"}


def test_a_token_is_given_before_the_next_is_computed(model: LanguageModel, read: list[int]) -> None:
    answer = begun(GenerationEngine(model, slots=1), [5], AnswerSettings(max_new_tokens=9, stop=[], sampling=GREEDY))
    assert [len(read) for _ in answer] == list(range(1, 10))
    assert list(answer) == answer.tokens, "a second reader gets all tokens again"
    assert len(read) == 9


@given(data=st.data())
@hypothesis_settings
def test_pieces_of_a_prompt_at_any_time_give_the_answer_to_the_whole(
    model: LanguageModel, alone: list[list[int]], data: st.DataObject
) -> None:
    engine = GenerationEngine(model, slots=1, read_tokens=data.draw(st.integers(1, 40), label="read_tokens"))
    for prompt, wish, expected in zip(PROMPTS, WISHES, alone, strict=True):
        cuts = sorted(data.draw(st.lists(st.integers(0, len(prompt)), max_size=6), label="cuts"))
        with engine.open() as slot:
            for start, end in zip([0, *cuts], [*cuts, len(prompt)], strict=True):
                slot.append(prompt[start:end])
                for _ in range(data.draw(st.integers(0, 2), label="steps")):
                    engine.step()
            assert list(slot.answer(wish)) == expected


@given(
    order=st.permutations(range(len(PROMPTS))),
    pauses=st.lists(st.integers(0, 3), min_size=len(PROMPTS), max_size=len(PROMPTS)),
    cancelled=st.sets(st.sampled_from(range(len(PROMPTS)))),
    slots=st.integers(1, 6),
)
@hypothesis_settings
def test_neighbours_do_not_change_an_answer(
    model: LanguageModel, alone: list[list[int]], order: list[int], pauses: list[int], cancelled: set[int], slots: int
) -> None:
    """Exact here, where logits are far apart against rounding; some neighbours are cancelled under way."""
    engine = GenerationEngine(model, slots=slots, read_tokens=11)
    answers: dict[int, Answer] = {}

    def step() -> None:
        engine.step()
        for number, answer in answers.items():
            if number in cancelled and len(answer.tokens) > number / 2:
                answer.cancel()
            if answer.reason:
                answer.slot.close()

    for number, pause in zip(order, pauses, strict=True):
        while not engine.num_free:
            step()
        answers[number] = begun(engine, PROMPTS[number], WISHES[number])
        for _ in range(pause):
            step()
    while any(answer.reason is None for answer in answers.values()):
        step()
    for number, answer in answers.items():
        assert answer.tokens == alone[number][: len(answer.tokens)]
        assert answer.reason == "cancelled" or answer.tokens == alone[number]
        assert answer.reason != "cancelled" or number in cancelled


def test_a_conversation_reads_each_token_once(model: LanguageModel, read: list[int]) -> None:
    wish = AnswerSettings(max_new_tokens=15, stop=[7], seed=3, sampling=NUCLEUS)
    slot = GenerationEngine(model, slots=2).open()
    talk = []
    for turn in ([1, 2, 3, 4, 5, 6], [40, 41], [9] * 8):
        slot.append(turn)
        context = list(slot.ids)
        talk.append((context, list(slot.answer(wish))))
        assert slot.ids == context + talk[-1][1]
    assert sum(read) == len(slot.ids) - 1, "the last token has not been read yet"
    for context, made in talk:
        assert made == bulk(model, context, wish).tokens


def test_answers_go_on_while_a_long_prompt_is_read(model: LanguageModel, read: list[int]) -> None:
    engine = GenerationEngine(model, slots=3, read_tokens=10)
    answer = begun(engine, [1, 2], AnswerSettings(max_new_tokens=50, stop=[], sampling=GREEDY))
    engine.step()
    long, short = engine.open(), engine.open()
    long.append([3] * 45)
    short.append([4] * 8)
    for step in range(2, 9):
        engine.step()
        assert len(answer.tokens) == step
    assert read == [2, 11, 11, 11, 11, 11, 4, 1]
    assert (long.num_waiting, short.num_waiting) == (0, 0)


def test_the_shortest_prompt_is_read_first(model: LanguageModel) -> None:
    engine = GenerationEngine(model, slots=2, read_tokens=10)
    long, short = engine.open(), engine.open()
    long.append([3] * 45)
    short.append([4] * 8)
    engine.step()
    assert (long.num_read, short.num_read) == (2, 8)


def test_an_answer_that_is_cancelled_says_so_and_keeps_its_context(model: LanguageModel) -> None:
    slot = GenerationEngine(model, slots=1).open()
    slot.append([5, 6])
    wish = AnswerSettings(max_new_tokens=20, stop=[], sampling=GREEDY)
    answer, seen = slot.answer(wish), []
    for token in answer:
        seen.append(token)
        if len(seen) == 3:
            answer.cancel()
    answer.cancel()
    assert (answer.reason, answer.tokens, slot.ids) == ("cancelled", seen, [5, 6, *seen])
    assert len(seen) == 3
    slot.append([8])
    assert list(slot.answer(wish)) == bulk(model, [5, 6, *seen, 8], wish).tokens


def test_a_context_is_rewound_to_what_was_heard(model: LanguageModel, read: list[int]) -> None:
    slot = GenerationEngine(model, slots=1).open()
    slot.append([5, 6, 7])
    wish = AnswerSettings(max_new_tokens=20, stop=[], sampling=GREEDY)
    first = slot.answer(wish)
    heard = [token for token, _ in zip(first, range(4), strict=False)]
    slot.rewind(3 + 2)
    assert (first.reason, slot.ids) == ("cancelled", [5, 6, 7, *heard[:2]])
    assert list(slot.answer(wish)) == bulk(model, [5, 6, 7, *heard[:2]], wish).tokens
    del read[:]
    slot.rewind(4)
    again = list(slot.answer(wish))
    assert sum(read) == len(again), "the last token is read again, and nothing before it"
    slot.rewind(2)
    slot.append([8, 9, 10, 11])
    assert list(slot.answer(wish)) == bulk(model, [5, 6, 8, 9, 10, 11], wish).tokens


def test_a_freed_slot_is_used_again_and_forgets(model: LanguageModel) -> None:
    engine = GenerationEngine(model, slots=2)
    slots = [engine.open(), engine.open()]
    for slot in slots:
        slot.append([9] * 40)
        list(slot.answer(WISHES[4]))
    with pytest.raises(
        EngineFullError, match=r"^all 2 slots of the generation engine are in use; close one, or [^\n]+$"
    ):
        engine.open()
    slots[0].close()
    slots[0].close()
    other = engine.open()
    assert (other.number, engine.num_free) == (slots[0].number, 0)
    other.append([1, 2, 3])
    assert list(other.answer(WISHES[5])) == bulk(model, [1, 2, 3], WISHES[5]).tokens


def test_memory_stays_within_its_bound(model: LanguageModel) -> None:
    engine = GenerationEngine(model, slots=3, max_context=50)
    slot = engine.open()
    slot.append([1] * 41)
    list(slot.answer(AnswerSettings(max_new_tokens=9, stop=[])))
    used = sum(states.numel() * states.element_size() for states in engine.cache.states)
    assert used == engine.most_bytes == 3 * 50 * 2 * 2 * 2 * 8 * 4, "slots, tokens, layers, k and v, groups, width"
    assert GenerationEngine(model, slots=3, max_context=10**9).max_context == model.max_positions


def closed(engine: GenerationEngine) -> Slot:
    slot = engine.open()
    slot.close()
    return slot


def answering(engine: GenerationEngine) -> Slot:
    return begun(engine, [1], AnswerSettings(max_new_tokens=5, stop=[])).slot


def of_eight(engine: GenerationEngine) -> Slot:
    slot = engine.open()
    slot.append([1] * 8)
    return slot


WISH = AnswerSettings(max_new_tokens=3, stop=[])


@pytest.mark.parametrize(
    ("make", "act", "says"),
    [
        (of_eight, lambda slot: slot.append([1] * 3), "a context of 11 tokens exceeds the 10 that a slot of the gener"),
        (of_eight, lambda slot: slot.answer(WISH), "a context of 8 tokens and max_new_tokens=3 exceed the 10 that a"),
        (of_eight, lambda slot: slot.append([2, -1]), "ids -1..2 lie outside the vocabulary of 30"),
        (of_eight, lambda slot: slot.append([10**6]), "ids 1000000..1000000 lie outside the vocabulary of 30"),
        (of_eight, lambda slot: slot.rewind(9), "length=9 must lie in 0 to 8, the tokens of the context"),
        (GenerationEngine.open, lambda slot: slot.answer(WISH), "an empty context cannot be continued; append at"),
        (answering, lambda slot: slot.append([1]), "an answer is under way in this slot; let it end, or cancel it"),
        (answering, lambda slot: slot.answer(WISH), "an answer is under way in this slot; let it end, or cancel it"),
        (closed, lambda slot: slot.append([1]), "this slot of the generation engine is closed; open another"),
        (closed, lambda slot: slot.answer(WISH), "this slot of the generation engine is closed; open another"),
        (closed, lambda slot: slot.rewind(0), "this slot of the generation engine is closed; open another"),
    ],
)
def test_what_a_slot_cannot_do_is_refused_in_one_line(model: LanguageModel, make: Any, act: Any, says: str) -> None:
    slot = make(GenerationEngine(model, slots=1, max_context=10))
    before = list(slot.ids)
    with pytest.raises(ValueError) as raised:
        act(slot)
    assert str(raised.value).startswith(says) and "\n" not in str(raised.value)
    assert slot.ids == before


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda model: GenerationEngine(model, slots=0), "slots=0 must be at least 1"),
        (lambda model: GenerationEngine(model, slots=1, max_context=0), "max_context=0 must be at least 1"),
        (lambda model: GenerationEngine(model, slots=1, read_tokens=-1), "read_tokens=-1 must be at least 1"),
        (lambda model: AnswerSettings(max_new_tokens=0, stop=[]), "max_new_tokens=0 must be at least 1"),
        (lambda model: AnswerSettings(max_new_tokens=1, stop=[], seed=-1), "seed=-1 must lie in 0 to 2**64 - 1"),
        (lambda model: IdSet.of(torch.zeros(5, dtype=torch.bool)), "allowed: no id is allowed; allow at least one"),
    ],
)
def test_settings_that_cannot_be_are_refused(model: LanguageModel, make: Any, says: str) -> None:
    with pytest.raises(ValueError) as raised:
        make(model)
    assert str(raised.value).startswith(says)


def in_turns(text: IdSet, speech: IdSet) -> Any:
    """Two text ids, then three speech ids, and so on."""
    return lambda tokens: text if len(tokens) % 5 < 2 else speech


def test_allowed_ids_follow_each_row_and_step(model: LanguageModel) -> None:
    """Greedy rows of four kinds in one batch, each against a loop without a cache that masks all logits."""
    masks = [allowed_ids(model.vocabulary, modality) for modality in ("text", "speech")]
    text, speech = (IdSet.of(mask) for mask in masks)
    kinds = [None, text, speech, in_turns(text, speech)]
    engine = GenerationEngine(model, slots=8, read_tokens=9)
    answers = [
        begun(engine, prompt, AnswerSettings(max_new_tokens=17, stop=[], sampling=GREEDY, allowed=kinds[n % 4]))
        for n, prompt in enumerate(PROMPTS[:8])
    ]
    while engine.step():
        pass
    for prompt, answer in zip(PROMPTS, answers, strict=False):
        ids = list(prompt)
        for token in answer.tokens:
            with torch.no_grad():
                logits = model.network(torch.tensor([ids])).logits[0, -1]
            now = answer.settings.allowed
            now = now(ids[len(prompt) :]) if callable(now) else now
            if now is not None:
                logits[~masks[0 if now is text else 1]] = -torch.inf
            assert token == int(logits.argmax())
            ids.append(token)
        assert len(answer.tokens) == 17


def test_a_set_costs_as_much_as_it_has_ids_and_is_prepared_once(
    model: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, speech = (IdSet.of(allowed_ids(model.vocabulary, modality)) for modality in ("text", "speech"))
    heads: list[torch.Tensor] = []
    logits = Decoder.logits
    monkeypatch.setattr(
        Decoder, "logits", lambda decoder, states, head: heads.append(head) or logits(decoder, states, head)
    )
    wish = AnswerSettings(max_new_tokens=10, stop=[], allowed=in_turns(text, speech))
    list(begun(GenerationEngine(model, slots=1), [1], wish))
    assert [len(head) for head in heads] == [257, 257, 41, 41, 41] * 2
    assert len({id(head) for head in heads}) == 2


def test_a_step_that_fails_changes_nothing(model: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(tokens: Sequence[int]) -> IdSet:
        raise LookupError("no such state")

    engine = GenerationEngine(model, slots=2)
    good = begun(engine, PROMPTS[5], WISHES[5])
    engine.step()
    bad = begun(engine, [1, 2], AnswerSettings(max_new_tokens=5, stop=[], allowed=failing))
    with pytest.raises(LookupError):
        engine.step()
    bad.cancel()
    append = Decoder.append
    monkeypatch.setattr(Decoder, "append", lambda *words, **options: append(*words, **options)[:0])
    with pytest.raises(IndexError):
        engine.step()
    monkeypatch.setattr(Decoder, "append", append)
    assert list(good) == bulk(model, PROMPTS[5], WISHES[5]).tokens


@pytest.mark.parametrize("slots", [1, 3, 20])
def test_each_request_is_answered_in_free_slots(model: LanguageModel, alone: list[list[int]], slots: int) -> None:
    engine = GenerationEngine(model, slots=slots)
    answers = in_order(answer_each(engine, zip(PROMPTS, WISHES, strict=True)), len(PROMPTS))
    assert [answer.tokens for answer in answers] == alone
    assert engine.num_free == slots


def test_requests_that_are_given_up_or_refused_leave_the_slots_free(model: LanguageModel) -> None:
    engine = GenerationEngine(model, slots=3, max_context=40)
    results = answer_each(engine, [([1, 2], WISH)] * 9)
    next(results)
    results.close()
    assert engine.num_free == 3
    with pytest.raises(ValueError, match="a context of 41 tokens exceeds the 40"):
        list(answer_each(engine, [([1], WISH), ([1] * 41, WISH)]))
    assert engine.num_free == 3
    others = [engine.open() for _ in range(3)]
    with pytest.raises(EngineFullError, match="all 3 slots"):
        list(answer_each(engine, [([1], WISH)]))
    others[0].close()
    assert len(list(answer_each(engine, [([1], WISH)] * 2))) == 2
