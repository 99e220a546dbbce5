"""Facts of a round trip."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np
import pytest

from megatron_speech.artifacts.facts.text_to_token import ComparisonFacts
from megatron_speech.config.stages.text_to_token import SynthesisConfig
from megatron_speech.inference.generate import Generation, Request
from megatron_speech.text_to_token.round_trip import by_speaker, compare, in_words, synthesize_as_spoken
from megatron_speech.text_to_token.synthesize import Synthesizer
from megatron_speech.text_tokenizer.tokenizer import TextTokenizer
from megatron_speech.vocabulary import SPECIAL_TOKENS, Vocabulary, speaker_token
from tests.toys import utterances

TEXTS = ["the red car stopped", "good morning", "cold water"]
TRUE = [np.zeros(10, dtype=np.int32), np.zeros(4, dtype=np.int32), np.zeros(6, dtype=np.int32)]


def test_failures_are_counted_apart() -> None:
    facts = compare(
        TEXTS,
        true=TRUE,
        made=[np.zeros(15, dtype=np.int32), None, np.zeros(6, dtype=np.int32)],
        heard_true=TEXTS,
        heard=["the red car started", None, "cold water"],
    )
    assert facts.failures == 1 and facts.texts == 3
    assert facts.wer_true_codes == 0
    assert facts.wer == pytest.approx(1 / 6)
    assert facts.wer_with_failures == pytest.approx(3 / 8)
    assert facts.length_ratio_median == pytest.approx(1.25)
    assert (facts.speech_tokens, facts.speech_tokens_true) == (21, 16)


def test_nothing_synthesised_has_no_rate() -> None:
    facts = compare(TEXTS, true=TRUE, made=[None] * 3, heard_true=TEXTS, heard=[None] * 3)
    assert facts.wer is None and facts.wer_with_failures == 1.0 and facts.length_ratio_median is None


class Echo:
    """Says the code of the speaker's number, as often as there are ids of text."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary

    def generate(self, requests: Iterable[Request]) -> Iterator[tuple[int, Generation]]:
        first = self.vocabulary.special_id(speaker_token("ann"))
        for number, request in enumerate(requests):
            code = self.vocabulary.speech_id(request.prompt[1] - first)
            yield number, Generation(tokens=[code] * (len(request.prompt) - 3), stopped=True)


def test_every_text_is_spoken_by_its_own_speaker() -> None:
    tokens = (*SPECIAL_TOKENS, speaker_token("ann"), speaker_token("bob"))
    vocabulary = Vocabulary(num_text_ids=257, num_speech_ids=5, end_of_document=256, special_tokens=tokens)
    synthesizer = Synthesizer(
        engine=Echo(vocabulary),
        tokenizer=TextTokenizer.load("bytes"),
        vocabulary=vocabulary,
        settings=SynthesisConfig(),
    )
    said = utterances(
        {"text": text, "voice": voice} for text, voice in [("one", "bob"), ("three", "ann"), ("t", "bob")]
    )
    made = synthesize_as_spoken(synthesizer, said, 0)
    assert [codes.tolist() for codes in made] == [[1] * 3, [0] * 5, [1]]
    assert synthesizer.counts["texts"] == 3
    unsure = utterances([{"text": "He scored 3-4-5.", "voice": "ann"}])
    assert synthesize_as_spoken(synthesizer, unsure, 0) == [None]
    facts = by_speaker(said, made=made, heard_true=["one", "three", "tea"], heard=["one", "four", "tea"])
    assert [(name, each.texts, each.wer, each.wer_true_codes) for name, each in facts.items()] == [
        ("bob", 2, 0.5, 0.5),
        ("ann", 1, 1.0, 0.0),
    ]


def test_one_line_gives_error_rates_and_failures():
    facts = ComparisonFacts(
        texts=12,
        failures=1,
        wer_true_codes=0.0952,
        cer_true_codes=0.0,
        wer_with_failures=0.9231,
        wer=11 / 12,
        cer=0.0,
        length_ratio_median=1.0,
        speech_tokens=1,
        speech_tokens_true=1,
    )
    assert in_words(facts) == (
        "WER 91.7% on 11 synthesised texts, 9.5% on recorded codes; 1 more texts failed, WER 92.3% with them"
    )
    assert in_words(replace(facts, failures=0)).endswith("on 12 synthesised texts, 9.5% on recorded codes")
    assert in_words(replace(facts, failures=12, wer=None)).startswith("none of 12 texts was synthesised")
