"""Sentences keep their offsets and cover the text, and what cannot be spoken says why."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from megatron_speech.interleave.units import unit_ends
from megatron_speech.text_normalization.characters import character_classes, code_points
from megatron_speech.text_normalization.speakable import REASONS, Stretch, stretches


def found(text: str, language: str = "en") -> list[Stretch]:
    return stretches(text, language=language, classes=character_classes(code_points(text)))


def units(text: str, unit: str, **options) -> list[str]:
    ends = unit_ends(text, unit, classes=character_classes(code_points(text)), **options).tolist()
    return [text[start:end] for start, end in pairwise([0, *ends])]


@settings(max_examples=200, deadline=None)
@given(
    st.one_of(st.text(), st.text(alphabet='aB .?!"()\n\t\r\x85\u2028\u2029é\x00|{}=;`~#今。”…1\u0301😀')),
    st.sampled_from(["en", "zh"]),
)
def test_stretches_cover_any_text(text, language):
    stretched = found(text, language)
    assert [stretch.start for stretch in stretched] == [0, *(stretch.end for stretch in stretched)][: len(stretched)]
    assert sum(stretch.end - stretch.start for stretch in stretched) == len(text)
    assert all(stretch.start < stretch.end for stretch in stretched)
    assert {stretch.reason for stretch in stretched} <= {None, *REASONS}


def test_sentences_of_english_and_chinese():
    text = "Dr. Smith went to the U.S. in 1984. He paid $3.50, e.g. for tea!\n\n\u201cIs it?\u201d he said."
    assert [text[each.start : each.end] for each in found(text)] == [
        "Dr. Smith went to the U.S. in 1984.",
        " He paid $3.50, e.g. for tea!",
        "\n\n\u201cIs it?\u201d he said.",
    ]
    text = "今天是2024年。他说：“你好！”然后走了"
    assert [text[each.start : each.end] for each in found(text, "zh")] == [
        "今天是2024年。",
        "他说：“你好！”",
        "然后走了",
    ]


@pytest.mark.parametrize(
    "sentence",
    [
        "He waited 10 mins. for her.",
        "Open Mon. to Fri. only.",
        "It took from Jan.–Mar. 2020 there.",
        "See pp. 12-14, ch. 3 of it.",
        "About approx. 30 men left.",
        "Lee met Grant at Ft. Sumter then.",
        "The 90-yd. field was wet.",
    ],
)
def test_no_abbreviation_ends_a_sentence(sentence):
    text = f"{sentence} We left. {sentence}"
    assert [text[each.start : each.end].strip() for each in found(text)] == [sentence, "We left.", sentence]


@pytest.mark.parametrize("stop", ["in the sky. 40", "the men. they", "in Oct. The", "to him. He"])
def test_other_stops_end_one(stop):
    assert len(found(f"It was {stop} people left.")) == 2


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("It rained, and the match was put off.", None),
        ("She paid $5 & left (at 3:30 p.m.) for the café.", None),
        ("Write to me@home.org or see www.home.org for the plan.", None),
        ("https://example.com/a/b?c=d", "address"),
        ("def read(path):", "code"),
        ("    return x;\n    y = f(x);\n", "code"),
        ("```\nls the folder\n```", "code"),
        ("Call the_function() twice.", "code"),
        ("aGVsbG8gd29ybGQhIGhlbGxvIHdvcmxkISBoZWxsbyB3b3JsZCE", "code"),
        ("| a | b |\n|---|---|\n| 1 | 2 |", "table"),
        ("name\tage\tcity\nann\t5\tRome\n", "table"),
        ("The sum is x^2 + y^2 = z^2 for all.", "mathematics"),
        ("Hence a ∈ B and so on.", "mathematics"),
        ("A <b>bold</b> claim.", "markup"),
        ("See [here](there) now.", "markup"),
        ("Tokyo (東京) is large.", "script"),
        ("سلام دنيا. كيف حالك؟", "script"),
        ("A bad \x07 bell.", "control"),
        ("A lost \ufffd letter.", "control"),
        ("* * *", "no_words"),
    ],
)
def test_reasons(text, reason):
    assert {stretch.reason for stretch in found(text)} == {reason}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("GPT和其他模型都很好。", None),
        ("约10%～15%的人于2021/12/1来了～", None),
        ("见a/b/c。", "address"),
        ("This is English.", "script"),
    ],
)
def test_reasons_of_chinese(text, reason):
    assert [stretch.reason for stretch in found(text, "zh")] == [reason]


@pytest.mark.parametrize(
    ("text", "text_class"),
    [
        ("The cat sat on the mat.", "prose"),
        ("In 1984 it cost 3.5 pounds.", "numbers"),
        ("\u201cNo,\u201d she said.", "dialogue"),
        ("There Anna Smith met Peter Jones of New York.", "names"),
    ],
)
def test_classes(text, text_class):
    assert [stretch.text_class for stretch in found(text)] == [text_class]


def test_code_between_prose_is_cut_out():
    text = "We write it so.\n\nfor (i = 0; i < n; i++) {\n\n  go(i);\n}\nThat is all of it."
    assert [(text[s.start : s.end].strip()[:5], s.reason) for s in found(text)] == [
        ("We wr", None),
        ("for (", "code"),
        ("That ", None),
    ]


def test_a_quotation_that_is_never_closed_does_not_swallow_the_document():
    text = 'He said "no. ' + "It rained, and the match was put off. Dr. Smith went home. " * 2000
    lengths = [stretch.end - stretch.start for stretch in found(text)]
    assert len(lengths) > 3900 and max(lengths) < 5000
    assert not any(text[: stretch.end].endswith("Dr.") for stretch in found(text))


@pytest.mark.parametrize(
    "odd", ["A wide   gap and    another.", "Its title | the site | the day.", "It ends (as code would);"]
)
def test_what_is_odd_in_a_long_line_costs_its_sentence_at_most(odd):
    around = "It rained, and the match was put off until the ground had dried. " * 20
    judged = found(f"{around}{odd}")
    assert [stretch.reason for stretch in judged][:20] == [None] * 20
    assert [stretch.reason for stretch in found(f"{odd} {around}")][-20:] == [None] * 20


def test_a_wide_table_and_a_long_line_of_code_stay_what_they_are():
    table = " | ".join(f"the cell of column {number}" for number in range(60))
    code = "".join(f"a[{number}]=f(b,{{c:{number}}});" for number in range(60))
    assert {stretch.reason for stretch in found(table)} == {"table"}
    assert {stretch.reason for stretch in found(code)} == {"code"}


def test_every_line_of_a_list_is_judged_by_itself():
    lines = found("1046 - Nasir Khusraw sets out\n1279 - Η μάχη\nA wrapped line\nof prose goes on")
    assert [(line.reason, line.text_class) for line in lines] == [
        (None, "numbers"),
        ("script", "numbers"),
        (None, "prose"),
    ]


def test_units():
    assert units(" A cat,\n it  sat. ", "words") == [" A", " cat,", "\n it", "  sat. "]
    assert units("在2024年, GPT好e\u0301！", "characters") == ["在", "2024", "年", ",", " GPT", "好", "e\u0301", "！"]
    assert units("ab \n c", "tokens", token_ends=lambda text: [1, 2, 2, 3, 4, 6]) == ["a", "b", " \n c"]
    assert units(" \n", "words") == units("", "characters") == []
