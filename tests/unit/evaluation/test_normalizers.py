"""Normalisers of transcripts: what is written differently and said alike is no error."""

import pytest

from megatron_speech.evaluation.normalizers import NORMALIZERS
from megatron_speech.metrics.word_errors import error_rates, utterance_edits


@pytest.mark.parametrize(
    ("written", "other"),
    [
        ("他买了50本书。", "他买了五十本书"),
        ("在2024年", "在二零二四年"),
        ("增长50%", "增长百分之五十"),
        ("增长50％", "增长百分之五十"),
        ("１２.5 公里", "十二点五公里"),
        ("1,200人", "一千二百人"),
        ("两个人，二〇〇八年", "二个人二零零八年"),
        ("iPhone 手机!", "iphone手机"),
        ("甚至 出现 交易", "甚至出现交易"),
        ("007", "零零七"),
    ],
)
def test_chinese_written_differently(written, other):
    normalize = NORMALIZERS["chinese"]
    assert normalize(written) == normalize(other) != ""


def test_chinese_character_errors():
    rates = error_rates(["甚至出现交易"], ["甚至,出现交情"], normalizer=NORMALIZERS["chinese"])
    assert rates["cer"] == pytest.approx(1 / 6)
    edits = utterance_edits(["甚至出现交易", "五十"], ["甚至出现", "50"], normalizer=NORMALIZERS["chinese"])
    assert edits.character_edits.tolist() == [2, 0] and edits.characters.tolist() == [6, 2]


def test_an_error_stays_an_error():
    assert NORMALIZERS["chinese"]("國") != NORMALIZERS["chinese"]("国")
    assert error_rates(["fifty cats"], ["50 dogs"], normalizer=NORMALIZERS["english"])["wer"] == 0.5
