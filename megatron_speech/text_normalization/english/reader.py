"""English as it is read aloud: the text is scanned once, and every part of it becomes a piece or stops the scan.

At each place the rules of English are asked, the longest and most special forms first; plain words pass them by. A
rule takes a form as a whole ("$3.5 million", "5-7 May 2010") and only where nothing follows that could belong to it, so
that no part of a number is read as another number. A form that several readings fit is refused.

When the tests held 1,203 cases with a reading, NeMo's text processing read 625 as they were read here (49 ms each) and
wetext's English grammars 583 (1.8 ms), punctuation and "and" aside; neither can refuse. Of the 1,351 cases that the
tests hold now, these rules refuse 120. They take 0.1 ms for a sentence of an encyclopedia.

Limitation: heuristics look a few words back and ahead ("1984 birds" is a count, "in 1984" a year).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from megatron_speech.text_normalization.english import (
    abbreviations,
    codes,
    dates,
    money,
    names,
    quantities,
    signs,
    units,
)
from megatron_speech.text_normalization.english.letters import folded
from megatron_speech.text_normalization.english.numbers import NUMBER, NUMERALS, Rule, Unsure, cardinal, rule
from megatron_speech.text_normalization.pieces import Piece, Unreadable

_WORD = r"[A-Za-z]+(?:'[A-Za-z]+)*"
_WORD_END = r"(?=[\s,;:?!)\]\"“—–…]|-(?![\d-]|[\w.+-]{0,64}@|[\w-]{0,64}\.[a-z])|--|\.(?![A-Za-z\d])|\Z)"
_RUN = r"(?:[a-df-hj-uwyz][a-z]* |e(?!tc )[a-z]* |[ix](?![ivx]* )[a-z]* |v(?![ivx]* |s )[a-z]* )+"
_TOKEN = re.compile(rf"({_RUN})|(\s+)|({_WORD}){_WORD_END}|([,;](?=\s)|[.?!](?=\s|\Z))")
"""A run of small words, white space, a word that nothing special touches, or a mark."""
_RUN_KIND, _SPACE_KIND, _WORD_KIND = 1, 2, 3
_MARKS = {",": ",", ";": ",", ".": ".", "?": "?", "!": "!"}
_BEFORE_STOPS = abbreviations.STOPPED | dates.STOPPED | frozenset("abcdefghijklmnopqrstuvwxyz")
"""What a stop may shorten rather than end."""
_WATCHED_IN_WORDS = frozenset((
    *abbreviations.WORDS, *codes.WORDS, *dates.WORDS,
    *names.WORDS,
    *(numeral for numeral in NUMERALS if len(numeral) > 1),
    *(numeral.lower() for numeral in NUMERALS if set(numeral) <= set("IVX")),
))  # fmt: skip
"""Words that a rule may begin with, also where no digit and no sign stands..."""
_WATCHED = _WATCHED_IN_WORDS | money.WORDS
"""...and anywhere."""
_NUMERAL_I = re.compile(
    r"(?:[Tt]ypes?|[Ss]chedule) I |"
    r"\bI (?:of|Corinthians|Thessalonians|Chronicles|Maccabees|(?:Samuel|Kings|Timothy|Peter|John) \d)"
)
"""An "I" that may count rather than speak."""
_VOWELS = frozenset("aeiouy")
_DOUBLED = re.compile(r"[ .,?!][.,?!]|  ")
_COUNTING_I = r"I(?:[.,?!]| of |(?<=[Tt]ype I)|(?<=[Tt]ypes I)|(?<=[Ss]chedule I))"
_PLAIN_WORD = rf"(?![ivx]+\b|vs\b|{_COUNTING_I})[A-Za-z]++(?:'[A-Za-z]++)?+"
_PLAIN = re.compile(rf"{_PLAIN_WORD}(?:[.,?!]?+ {_PLAIN_WORD})*+[.?!]?+")
_CAPITALISED = re.compile(r"[A-Z][A-Za-z]*+")
_APART = re.compile(
    r"([\"“”]|(?<=[A-Za-z])(?<!day)-(?=[A-Za-z]))|[;:](?=\s)|(?<= )\((?=[A-Za-z])|(?<=[A-Za-z.])\)(?=[ ,.;:]|\Z)"
)
"""Marks that are read alike among plain words: the first kinds as nothing, the others as a pause."""
_BARE = str.maketrans("-", " ", '"“”;:()')
"""A text without these marks."""
_PLAIN_TOKEN = re.compile(r" |[A-Za-z']+|[.,?!]")
_NUMBER_START = re.compile(rf"\.?\d|[½¼¾⅓⅔⅛⅜⅝⅞]|{money.SIGN}|'\d|\(\d{{3}}\)\s?\d|\+\d|[#@][A-Za-z]")
_NUMBERS: list[Rule] = [
    *money.RULES,
    *dates.RULES,
    names.VERSE,
    *units.RULES,
    *codes.RULES,
    rule(rf"{NUMBER}(?=-\s(?:and|or|to)\s\d)", lambda found: cardinal(found[1])),
    *quantities.RULES,
    *signs.RULES,
]
_LETTERS: list[Rule] = [
    names.VERSE,
    *names.RULES,
    *abbreviations.RULES,
    *dates.RULES,
    *money.RULES,
    *codes.RULES,
    rule(rf"{_WORD}(?<=s)'(?![A-Za-z\d])|{_WORD}(?<=in)'(?![A-Za-z\d])", signs.word_with_apostrophe),
    rule(
        rf"{_WORD}(?![\w@/\\#*^~=<>|{{}}_$£€%°(\[])(?!\.[a-z\d])(?!&\w+;)(?!-\d)|[a-z]{{2,}}(?=-\d)",
        lambda found: found[0].lower(),
    ),
]


def read_english(text: str) -> list[Piece]:
    """Consecutive pieces that cover `text`: lower-case words, and the punctuation that shapes speech (. , ? ! ').

    Raises Unreadable.
    """
    read, places = folded(text)
    parts: list[tuple[int, str]] = []
    start = 0
    for end, words, is_run in _scan(read, places):
        if is_run:
            parts += [(token.end(), token[0].strip().lower()) for token in _PLAIN_TOKEN.finditer(read, start, end)]
        else:
            parts.append((end, words))
        start = end
    return _pieces(parts, len(text), places)


def odd_pieces(text: str) -> list[Piece]:
    """Those pieces of `read_english` whose words are not what is written, in small letters; in less time.

    Raises Unreadable.
    """
    bare = text.translate(_BARE)
    if is_plain(bare):
        marks = list(_APART.finditer(text))
        if len(marks) == len(text) - len(bare) + text.count("-"):
            return [Piece(*mark.span(), "" if mark[1] else ",") for mark in marks]
    read, places = folded(text)
    if places is not None:
        return [piece for piece in read_english(text) if _is_odd(text[piece.start : piece.end], piece.words)]
    odd: list[Piece] = []
    start = 0
    for end, words, is_run in _scan(read, places):
        if not is_run and _is_odd(text[start:end], words):
            odd.append(Piece(start, end, words))
        elif is_run and read is not text and read[start:end] != text[start:end]:
            tokens = ((*token.span(), token[0].strip()) for token in _PLAIN_TOKEN.finditer(read, start, end))
            odd += [Piece(*token) for token in tokens if _is_odd(text[token[0] : token[1]], token[2])]
        start = end
    return odd


def _is_odd(source: str, words: str) -> bool:
    return words != source.lower() and not source.isspace()


def speak_english(text: str) -> str:
    """What `read_english` gives, joined, in less time.

    Raises Unreadable.
    """
    if is_plain(text):
        return text.lower()
    return join_english(words for _, words, _ in _scan(*folded(text)) if words)


def _scan(text: str, places: list[int] | None) -> Iterator[tuple[int, str, bool]]:
    """End and words of every part of the folded text, and whether the part is a run of plain words.

    Raises Unreadable; `places` as of `folded`.
    """
    position, end = 0, len(text)
    while position < end:
        token = _TOKEN.match(text, position)
        kind = token.lastindex if token is not None else None
        if token is None or (kind == _WORD_KIND and _is_watched(token[0], text, token.end())):
            position, words = _by_rules(text, position, places)
            kind = None
        else:
            position, words = token.end(), token[0]
            if kind == _WORD_KIND:
                words = words.lower()
            elif kind == _SPACE_KIND:
                words = ""
            elif kind == _RUN_KIND:
                words = words[:-1]
            else:
                words = _MARKS[words]
        yield position, words, kind == _RUN_KIND


def is_plain(text: str) -> bool:
    """Whether `text` is words and marks that no rule can have a part in: its reading is the text in small letters."""
    if _PLAIN.fullmatch(text) is None or "etc" in text or not _WATCHED_IN_WORDS.isdisjoint(_CAPITALISED.findall(text)):
        return False
    return not any(_may_be_short(part.rpartition(" ")[2].lower()) for part in text.split(".")[:-1])


def _is_watched(word: str, text: str, end: int) -> bool:
    if word == "I":
        return text[end : end + 1] not in (" ", "'") or _NUMERAL_I.search(text, max(0, end - 10), end + 20) is not None
    return word in _WATCHED or (text[end : end + 1] == "." and _may_be_short(word.lower()))


def _may_be_short(word: str) -> bool:
    """Whether a stop after the word may shorten it rather than end a sentence."""
    return word in _BEFORE_STOPS or _VOWELS.isdisjoint(word)


def _pieces(parts: list[tuple[int, str]], length: int, places: list[int] | None) -> list[Piece]:
    """Pieces of the text as it is written; `parts` end in the folded text, whose characters stood at `places`."""
    pieces: list[Piece] = []
    start = 0
    for end, words in parts:
        stop = end if places is None else places[end]
        if pieces and stop == start:  # signs that one character of the text stands for
            pieces[-1] = Piece(pieces[-1].start, start, f"{pieces[-1].words} {words}".strip())
        else:
            pieces.append(Piece(start, stop, words))
        start = stop
    return pieces or ([Piece(0, length, "")] if length else [])


def _by_rules(text: str, position: int, places: list[int] | None) -> tuple[int, str]:
    """End and words of the piece at `position`.

    Raises Unreadable where no rule takes it, or one is not sure.
    """
    sign = text[position]
    rules = _LETTERS if sign.isascii() and sign.isalpha() else signs.RULES
    if _NUMBER_START.match(text, position):
        rules = _NUMBERS
    reason = "no rule reads it"
    try:
        for expression, reading in rules:
            found = expression.match(text, position)
            words = reading(found) if found is not None else None
            if found is not None and words is not None:
                return found.end(), words
    except Unsure as unsure:
        reason = str(unsure)
    part = re.compile(r"\s?\S{1,30}").match(text, position)
    raise Unreadable(part[0] if part else "", places[position] if places else position, reason)


def join_english(words: Iterable[str]) -> str:
    """The words of consecutive pieces with single spaces, and one punctuation mark in a place; may be empty."""
    text = " ".join(words)
    if _DOUBLED.search(text) is not None:
        text = re.sub(r" (?=[.,?!])", "", text)
        text = re.sub(r"[.,?!]{2,}", lambda run: _strongest(run[0]), text)
    text = text.lstrip(" .,?!").rstrip(" ,")
    return text if re.search(r"[A-Za-z]", text) else ""


def _strongest(run: str) -> str:
    return next((sign for sign in run if sign != ","), ",")
