"""Chinese as it is read aloud: wetext's grammars for numbers, dates, times and units; money is brought into their form.

wetext (a runtime of WeNet's grammars, without pynini) takes about 1 ms for a text with a number in it; text without
digits or signs never gets there. Price: 50 MB of grammars, so that it is an extra of the package.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from functools import lru_cache

_CURRENCIES = {"¥": "元", "$": "美元", "€": "欧元", "£": "英镑"}
_MONEY = re.compile(r"([¥$€£])\s?(\d[\d,]*)(?:\.(\d+?)0*)?(?!\d)([万亿]*)元?")
_PERCENT_RANGE = re.compile(r"(?<=%)\s?[-~–—]\s?(?=\d)")
_SIGNED_PERCENT = re.compile(r"(?<![\d%])-(?=[\d.]+%)")
_RULED = re.compile(r"[0-9%]")
_PUNCTUATION = str.maketrans({",": "，", "?": "？", "!": "！", ";": "，", ":": "，", "；": "，", "：": "，", "…": "。",
                              "(": "，", ")": "，", "—": "，", "～": " ", "~": " "})  # fmt: skip
_KEPT = "A-Za-z'\u3005-\u3007\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U000323af"


def read_chinese(text: str) -> str:
    """Chinese characters, Latin letters and 。，、？！; white space is left between Latin words only. May be empty."""
    text = unicodedata.normalize("NFKC", text.replace("￥", "¥"))
    if _RULED.search(text):
        text = _MONEY.sub(_money, text)
        text = _SIGNED_PERCENT.sub("负", _PERCENT_RANGE.sub("到", text))
        text = _normalizer()(re.sub(rf"[^{_KEPT}0-9 .,:/%~°+。，、？！；：（）()-]", "，", text))
    text = re.sub(r"\.(?=\s|$)", "。", text).translate(_PUNCTUATION)
    text = re.sub(rf"[^{_KEPT}。，、？！]+", " ", text)
    text = re.sub(r"(?<![A-Za-z']) | (?![A-Za-z'])", "", text)
    text = re.sub(r"([。，、？！])[。，、？！]+", r"\1", text).strip("，、 ")
    return text if re.search(rf"[{_KEPT}]", text) else ""


@lru_cache(maxsize=1)
def _normalizer() -> Callable[[str], str]:
    try:
        from wetext import Normalizer
    except ImportError as error:
        raise ValueError("language=zh reads numbers by wetext; pip install 'megatron-speech[chinese]'") from error
    normalize: Callable[[str], str] = Normalizer(lang="zh", operator="tn").normalize
    return normalize


def _money(found: re.Match[str]) -> str:
    fraction = f".{found[3]}" if found[3] and found[3] != "0" else ""
    return f"{found[2].replace(',', '')}{fraction}{found[4]}{_CURRENCIES[found[1]]}"
