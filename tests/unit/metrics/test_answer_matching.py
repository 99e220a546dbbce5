"""Published matchers: the table of answers on which they disagree, and their rules at the edges."""

import pytest

from megatron_speech.metrics.answer_matching import MATCHERS, RULES, chosen_option
from megatron_speech.metrics.number_words import number_of

# What the published code of each rule said about these answers.
TABLE = [
    # answer, accepted, every_word, words_in_order, inclusion, exact_match
    ("Because of plastics.", "US", 1, 0, 1, 0),
    ("It has 50 states.", "fifty", 1, 0, 0, 0),
    ("It has fifty states.", "50", 0, 0, 0, 0),
    ("Louis went to St. Petersburg", "St. Louis", 1, 0, 0, 0),
    ("I don't know, maybe Paris or London or Rome..", "Rome", 1, 1, 1, 0),
    ("Beyonce sang it", "Beyoncé", 0, 0, 0, 0),
    ("中国的首都是北京", "Beijing", 0, 0, 0, 0),
]
NAMES = ("every_word", "words_in_order", "inclusion", "exact_match")


@pytest.mark.parametrize("row", TABLE, ids=[row[0] for row in TABLE])
def test_the_published_table_is_reproduced(row):
    answer, accepted, *expected = row
    assert [int(MATCHERS[name](answer, [accepted])) for name in NAMES] == expected


def test_there_are_five_matchers_and_each_knows_a_right_answer():
    assert len(MATCHERS) == 5
    for matcher in MATCHERS.values():
        assert matcher("Paris", ["Rome", "paris"]) and not matcher("Oslo", ["Rome", "paris"])
        assert not matcher("", ["Rome"])


@pytest.mark.parametrize(
    ("name", "answer", "accepted", "right"),
    [
        ("every_word", "the year 1984", ["nineteen hundred eighty four"], True),
        ("every_word", "one of them has 50", ["fifty", "many"], False),  # not all are numbers: none is tried
        ("every_word", "rock and roll", ["rock-roll"], True),
        ("words_in_order", "the café, naturally", ["CAFÉ"], True),
        ("words_in_order", "the rock'n'roll", ["rock n roll"], False),  # a mark is a word
        ("words_in_order", "st. louis it is", ["St. Louis"], True),
        ("inclusion", "In Jerome's house", ["Rome"], True),
        ("exact_match", "The  U.S.A.", ["usa"], True),
        ("exact_match", "an apple a day", ["apple day"], True),
        ("exact_start", " Paris, of course.", ["paris"], True),
        ("exact_start", "It is Paris", ["paris"], False),
        ("exact_start", "St. Louis", ["St. Louis"], False),  # cut at its point
    ],
)
def test_rules_at_the_edges(name, answer, accepted, right):
    assert MATCHERS[name](answer, accepted) is right


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("fifty", 50),
        ("twenty-one", 21),
        ("two hundred and six", 206),
        ("one million two thousand three", 1_002_003),
        ("three point one four", 3.14),
        ("1984", 1984),
        ("one direction", 1),
        ("nineteen eighty four", 1524),
        ("two billion one million", 2_002_000_001),
        ("thousand million", None),
        ("million", 1_000_000),
        ("a lot", None),
        ("", None),
    ],
)
def test_numbers_in_words(text, number):
    assert number_of(text) == number


@pytest.mark.parametrize(
    ("answer", "letter"),
    [("The answer is option B.", "b"), ("Option A or option C", None), ("B", None), ("optional b", None), ("", None)],
)
def test_an_option_is_named_once_or_the_answer_is_wrong(answer, letter):
    assert chosen_option(answer) == letter
    for accepted in "ABCD":
        assert RULES["option"](answer, [accepted]) == (accepted.lower() == letter)
