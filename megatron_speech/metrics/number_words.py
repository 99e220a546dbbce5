"""English number words as numbers, by the rules of the package word2number, which a published matcher uses.

Words that are no number words are passed over, so "one direction" is 1. The rules are those of a sum with scales. They
are odd in places: "nineteen eighty four" is 19 x 80 + 4. So are the published scores.
"""

from __future__ import annotations

_SMALL = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen"
_TEENS = "seventeen eighteen nineteen"
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
VALUES = {
    **{word: value for value, word in enumerate(f"{_SMALL} {_TEENS}".split())},
    **{word: 10 * value for value, word in enumerate(_TENS.split(), start=2)},
    "hundred": 100,
    "thousand": 1000,
    "million": 10**6,
    "billion": 10**9,
}
SCALES = ("billion", "million", "thousand")
POINT = "point"


def number_of(text: str) -> int | float | None:
    """The number that `text` says in digits or words; None if it says none, or one that breaks the rules."""
    text = text.replace("-", " ").lower()
    if text.isdigit():
        return int(text)
    words = [word for word in text.split() if word in VALUES or word == POINT]
    if not words or any(words.count(word) > 1 for word in (*SCALES, POINT)):
        return None
    at = words.index(POINT) if POINT in words else len(words)
    whole = _whole(words[:at])
    return None if whole is None else whole + _fraction(words[at + 1 :])


def _whole(words: list[str]) -> int | None:
    places = [words.index(scale) for scale in SCALES if scale in words]
    if places != sorted(places):
        return None
    if len(words) < 2:
        return VALUES[words[0]] if words else 0
    total, start = 0, 0
    for place in places:
        if (group := _group(words[start:place])) is None:
            return None
        total, start = total + group * VALUES[words[place]], place + 1
    # As in the package, a last scale counts once more: "two billion one million" has 1 + 1,000,000 too much.
    rests = [words[place + 1 :] for place in reversed(places) if place + 1 < len(words)] if places else [words]
    return total + ((_group(rests[0]) or 0) if rests else 0)


def _group(words: list[str]) -> int | None:
    """Value of the words before a scale, or after the last; None without words."""
    values = [VALUES[word] for word in words]
    if len(values) in (3, 4):
        return values[0] * values[1] + sum(values[2:])
    if len(values) == 2:
        return values[0] * values[1] if 100 in values else sum(values)
    return values[0] if values else None


def _fraction(words: list[str]) -> float:
    """Value of the digits behind the point; 0 if one is no digit."""
    if not words or any(VALUES[word] > 9 for word in words):
        return 0
    return float("0." + "".join(str(VALUES[word]) for word in words))
