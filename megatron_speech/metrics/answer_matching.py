"""Published rules for whether an answer in free words is right; they disagree, so a score names its rule.

    answer                          accepted   every_word  words_in_order  inclusion  exact_match
    Because of plastics.            US         yes         no              yes        no
    It has 50 states.               fifty      yes         no              no         no
    Louis went to St. Petersburg    St. Louis  yes         no              no         no

The functions are frozen: a change would be another rule, under another name. For spoken answers, the text is that of a
recogniser.
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Callable, Sequence

from megatron_speech.metrics.number_words import number_of

Matcher = Callable[[str, Sequence[str]], bool]
"""Whether an answer is right, given all accepted answers."""

_PUNCTUATION = str.maketrans("", "", string.punctuation)
_PUNCTUATION_TO_SPACES = str.maketrans({sign: " " for sign in string.punctuation if sign != "'"})


def every_word(answer: str, accepted: Sequence[str]) -> bool:
    """VITA-Audio: the answer contains every word of an accepted one anywhere, or its number in digits.

    Numbers are tried only if all accepted answers are numbers. Parts of words count ("us" in "because").
    """
    answer = answer.lower()
    words = [text.translate(_PUNCTUATION_TO_SPACES).lower().strip() for text in accepted]
    numbers = [number_of(text) for text in words]
    digits = [] if None in numbers else [str(number) for number in numbers]
    return any(all(word in answer for word in text.split(" ")) for text in (*words, *digits))


def words_in_order(answer: str, accepted: Sequence[str]) -> bool:
    """UltraEval-Audio (`has_answer`, of open-domain question answering): whole words, in order, without a gap.

    Case is folded, accents stay, and punctuation marks count as words.
    """
    given = _word_tokens(answer)
    for text in accepted:
        wanted = _word_tokens(text)
        if any(given[start : start + len(wanted)] == wanted for start in range(len(given) - len(wanted) + 1)):
            return True
    return False


def inclusion(answer: str, accepted: Sequence[str]) -> bool:
    """UltraEval-Audio (`ExistMatch`), and others under many names: an accepted answer is part of the text."""
    return any(text.strip().lower() in answer.strip().lower() for text in accepted)


def exact_match(answer: str, accepted: Sequence[str]) -> bool:
    """SQuAD: equal without case, punctuation and articles."""
    return any(_without_articles(text) == _without_articles(answer) for text in accepted)


def exact_start(answer: str, accepted: Sequence[str]) -> bool:
    """TriviaQA in lm-evaluation-harness: the answer up to its first line end, point or comma, equal to an accepted one.

    Case and punctuation do not count. There, generation stops at these signs.
    """
    start = re.split(r"[\n.,]", answer, maxsplit=1)[0].lstrip()
    return any(text.lower().translate(_PUNCTUATION) == start.lower().translate(_PUNCTUATION) for text in accepted)


def chosen_option(answer: str, options: str = "abcd") -> str | None:
    """SpeechMMLU: the letter after the word "option" in an answer; None, which is wrong, without just one."""
    found = {letter.lower() for letter in re.findall(rf"\boption\s+([{options}])\b", answer, re.IGNORECASE)}
    return found.pop() if len(found) == 1 else None


def option(answer: str, accepted: Sequence[str]) -> bool:
    """SpeechMMLU: the letter after the word "option" is accepted; an answer without just one such letter is wrong."""
    return chosen_option(answer) in {text.strip().lower() for text in accepted}


MATCHERS: dict[str, Matcher] = {
    "every_word": every_word,
    "words_in_order": words_in_order,
    "inclusion": inclusion,
    "exact_match": exact_match,
    "exact_start": exact_start,
}
"""Matchers of free words by name, as a protocol names them."""
RULES: dict[str, Matcher] = MATCHERS | {"option": option}
"""All matchers, with that of letters."""


def _word_tokens(text: str) -> list[str]:
    """Runs of letters, digits and accents, and every other visible sign by itself; folded case, decomposed accents."""
    tokens: list[str] = []
    inside = False
    for sign in unicodedata.normalize("NFD", text):
        kind = unicodedata.category(sign)[0]
        if kind in "LNM":
            tokens[-1:] = [tokens[-1] + sign] if inside else [*tokens[-1:], sign]
        elif kind not in "ZC":
            tokens.append(sign)
        inside = kind in "LNM"
    return [token.lower() for token in tokens]


def _without_articles(text: str) -> str:
    bare = text.lower().translate(_PUNCTUATION)
    return " ".join(re.sub(r"\b(?:a|an|the)\b", " ", bare).split())
