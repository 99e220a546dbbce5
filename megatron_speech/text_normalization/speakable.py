"""Which sentences of a document can be read aloud, why the others cannot, and what kind of text each one is.

    text --lines--> code, tables | blocks of prose --sentences--> reason and class of each

Sentences keep their offsets and cover the text: each takes the white space before it, as a word does (`units`).
Sentences of English are found by `sentencex`, those of Chinese at their stops, by one expression (`sentencex` takes
quadratic time for a Chinese paragraph: 23 s for 240,000 characters). Everything that looks at single characters does
so once, through a table of character classes, for the whole document; expressions are asked of suspects only. So the
time is linear: a document of 50 MB in a single line takes seconds.

A sentence that says anything a voice would have to leave out (a word in another script, a formula, a tag) is not
speakable as a whole, since the words around a hole are no faithful reading. Price: a sentence that quotes one Greek
word stays text. The rules are judgements, good for prose; what they miss shows in the noise report.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal, NamedTuple

import numpy as np
import sentencex

from megatron_speech.config.stages.text_to_token import Language
from megatron_speech.text_normalization.characters import Class

TextClass = Literal["prose", "numbers", "names", "dialogue"]

REASONS = ("code", "table", "mathematics", "markup", "address", "script", "control", "no_words", "reading")
"""Why a stretch cannot be spoken; "reading" where its language's reader is not sure of a part (`readings`)."""

NUMBERS_SHARE, NAMES_SHARE, LONGEST_WORD = 0.1, 0.25, 40
"""Share of digits that makes a sentence "numbers", of capitalised words "names"; mean word length above which it is
no language."""

PIECE = 4000
"""Characters, at least, that sentences are looked for in at once."""

LONGEST_CELL, LONGEST_STATEMENT = 100, 400
"""Characters: cells of a table are shorter on average, and lines of code that are known by their first or last signs.
What a line longer than that holds (many documents are one line) is judged sentence by sentence."""

_LINE_BREAKS = "\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"
_CHINESE_STOP = re.compile(r"[。！？!?；…\n]+[”’」』）》\"')\]]*")
_SURE_STOP = re.compile(r"[a-z]{4}[.!?][\"”’')\]]*\s+(?=[A-Z\"“‘'(\[])")
_SUSPECT_SIGN = re.compile(r"[{}<>=\\|_#*^`~\[\]\t;]")
_SUSPECT_STRINGS = ("\t", ";", "   ", "()", "):")
_NEW_LINE = re.compile(r"\n(?=[A-Z0-9\"“*•-])")
_FENCE = re.compile(r"\s*(?:```|~~~)")
_COLUMNS = re.compile(r"\S(?: {3,}| *\t\s*)(?=\S)")
_RULE_SIGNS = frozenset("|+:=- \t\n")
_CODE_START = re.compile(
    r"\s*(?:import \w+|from [\w.]+ import |def \w+\(|class \w+[(:{]|function\b.*\(|#include|#define|>>> |//|/\*|\*/|"
    r"(?:const|let|var|public|private|static|return|if|for|while)\b[^.]{0,80}[;{(]|[{}\])]+[;,]?\s*$|</?\w+[^>]{0,80}>$)"
)
_CODE_END = re.compile(r"[;{}]\s*$")
_CODE = re.compile(r"\w_\w|\w\(\)|\w\.\w+\(|(?<!\S)--?\w+=|::\w|->|=>|&&|\|\||[{}]\s*;|==|!=|\+=")
_MARKUP = re.compile(r"</?[A-Za-z!][^<>]{0,200}>|\[\[|\]\]|\{\{|\}\}|\]\(|&#?\w{2,8};|(?:^|\n)[ \t]*#{1,6} ")
_MATHEMATICS = re.compile(r"\\[A-Za-z]+|[\w)\]] ?[=^] ?[\w(\\+-]|\w[*^]\w")
_LEFT_OVER = re.compile(r"[<>|{}\\]")
_ADDRESS = re.compile(
    r"(?:https?://|www\.|ftp://)\S+|[\w.+-]{1,64}@[\w-]{1,64}(?:\.[\w-]{1,64}){1,8}|(?<!\S)(?=\S*[A-Za-z])/?(?:[\w.-]{1,64}/){2,}\S*"
)


class Stretch(NamedTuple):
    """One sentence, or a run of lines that are none; offsets in characters, half-open."""

    start: int
    end: int
    reason: str | None
    """None: may be spoken; else one of REASONS."""
    text_class: TextClass


def stretches(text: str, *, language: Language, classes: np.ndarray) -> list[Stretch]:
    """Consecutive stretches that together cover `text`, in time linear in its length; empty for an empty text.

    `language` names the stops, and the scripts that can be read: Latin letters for en, Chinese and Latin for zh;
    `classes` are those of the text's characters (`characters.character_classes`).
    """
    if not text:
        return []
    plain = text
    for line_break in _LINE_BREAKS:  # sentencex fails at some of them
        plain = plain.replace(line_break, "\n")
    has_lines = bool((classes == Class.SIGN).any()) or any(string in plain for string in _SUSPECT_STRINGS)
    bounds: list[int] = []
    reasons: list[str | None] = []
    given: list[str | None] = []
    for start, end, reason in _blocks(plain) if has_lines else [(0, len(plain), None)]:
        starts = _sentence_starts(plain[start:end], start, language) if reason is None else [start]
        bounds += starts
        given += [reason] * len(starts)
    ends = [0]
    start = 0
    for stop, reason in zip([*bounds[1:], len(text)], given, strict=True):
        end = stop
        while end > start and plain[end - 1].isspace():
            end -= 1  # white space goes to the following stretch
        if end > start:  # a stretch of nothing but white space joins the next one
            ends.append(end)
            reasons.append(reason)
        start = stop
    if not reasons:
        return [Stretch(0, len(text), "no_words", "prose")]
    ends[-1] = len(text)
    return _judge(text, classes, ends, reasons, language)


def _sentence_starts(block: str, offset: int, language: Language) -> list[int]:
    """Offsets of the sentences of a block of prose; the first is `offset`."""
    if language == "zh":
        starts = [offset, *(offset + match.end() for match in _CHINESE_STOP.finditer(block))]
        return starts[:-1] if len(starts) > 1 and starts[-1] == offset + len(block) else starts
    found = [
        offset + piece + sentence["start_index"]
        for piece, end in _pieces(block)
        for sentence in sentencex.get_sentence_boundaries(language, block[piece:end])
    ]
    if "\n" not in block:
        return [offset, *found[1:]]
    # Lists and verse have no stops; where a wrapped line of prose begins with a capital, one break more does no harm.
    return sorted({offset, *found, *(offset + match.end() for match in _NEW_LINE.finditer(block))})


def _pieces(block: str) -> Iterator[tuple[int, int]]:
    """Consecutive pieces, cut at the first unmistakable stop after PIECE characters.

    sentencex cuts nothing between quotation marks, also where one was never closed, and takes quadratic time.
    """
    start = 0
    while stop := _SURE_STOP.search(block, start + PIECE):
        yield start, stop.end()
        start = stop.end()
    yield start, len(block)


def _blocks(text: str) -> Iterator[tuple[int, int, str | None]]:
    """Runs of lines with one reason ("code", "table" or None): start, end, reason; together they cover the text."""
    lines = text.splitlines(keepends=True)
    reasons = _line_reasons(lines)
    start = position = 0
    for number, line in enumerate(lines):
        position += len(line)
        if number + 1 == len(lines) or reasons[number + 1] != reasons[number]:
            yield start, position, reasons[number]
            start = position


def _line_reasons(lines: list[str]) -> list[str | None]:
    """Per line; up to two lines between two of code are code, too."""
    reasons: list[str | None] = []
    fenced, last_code = False, -9
    for number, line in enumerate(lines):
        fence = _FENCE.match(line) is not None
        reason = "code" if fenced or fence else _line_reason(line) if _is_suspect(line) else None
        fenced ^= fence
        reasons.append(reason)
        if reason == "code":
            if number - last_code <= 3:
                reasons[last_code + 1 : number] = ["code"] * (number - last_code - 1)
            last_code = number
    return reasons


def _is_suspect(line: str) -> bool:
    return _SUSPECT_SIGN.search(line) is not None or "   " in line or "()" in line or "):" in line


def _line_reason(line: str) -> str | None:
    is_rule = ("--" in line or "==" in line) and _RULE_SIGNS.issuperset(line)
    separators = max(line.count("|"), len(_COLUMNS.findall(line)))
    if is_rule or (separators >= 2 and len(line) <= LONGEST_CELL * (separators + 1)):
        return "table"
    is_short = len(line) <= LONGEST_STATEMENT
    if is_short and (_CODE_START.match(line) or (_CODE_END.search(line[-20:]) and re.search(r"[(=<{}]|::", line))):
        return "code"
    signs = sum(line.count(sign) for sign in "{}[]=\\;()&*")
    return "code" if signs >= 5 and signs > 0.12 * len(line) else None


def _judge(
    text: str, classes: np.ndarray, bounds: list[int], reasons: list[str | None], language: Language
) -> list[Stretch]:
    """Reason and class of the stretches between `bounds`; `reasons` holds those that are known from their lines."""
    is_english = language == "en"
    found = []
    for index, (count, reason) in enumerate(zip(_counts(classes, bounds), reasons, strict=True)):
        start, end = bounds[index], bounds[index + 1]
        judged, text_class, has_signs = _verdict(count, is_english)
        if reason is None:
            reason = (_reason_of_signs(text[start:end]) or judged) if has_signs else judged
        found.append(Stretch(start, end, reason, text_class))
    return found


def _counts(classes: np.ndarray, bounds: list[int]) -> list[list[int]]:
    """Characters of each class between `bounds`. Small Latin letters, most of the text, are what remains."""
    places = np.flatnonzero(classes != Class.LATIN)
    kinds = classes[places]
    kinds[(kinds == Class.UPPER) & (classes[np.maximum(places - 1, 0)] == Class.SPACE)] = Class.INITIAL
    number = len(bounds) - 1
    rows = np.repeat(np.arange(0, number * Class.COUNT, Class.COUNT), np.diff(places.searchsorted(bounds)))
    counts = np.bincount(rows + kinds, minlength=number * Class.COUNT).reshape(number, Class.COUNT)
    counts[:, Class.LATIN] = np.diff(bounds) - counts.sum(axis=1)
    listed: list[list[int]] = counts.tolist()
    return listed


def _verdict(count: list[int], is_english: bool) -> tuple[str | None, TextClass, bool]:
    """Reason and class of a sentence with so many characters of each class, and whether its signs are to be read."""
    space, latin, upper, digit, han, other, plain, quote, sign, address, math, control, _, _, initial = count
    latin += upper + initial
    reason = None
    if not (latin or han or other or digit):
        reason = "no_words"
    elif control:
        reason = "control"
    elif math:
        reason = "mathematics"
    elif other or (han if is_english else latin > 2 * han):
        reason = "script"
    elif not han and latin + digit + plain > LONGEST_WORD * (space + 1):
        reason = "code"
    text_class: TextClass = "prose"
    if digit > NUMBERS_SHARE * (latin + han + digit):
        text_class = "numbers"
    elif quote > 1:
        text_class = "dialogue"
    elif initial > 2 and initial - 1 >= NAMES_SHARE * (space + 1):  # the first word has a capital anyhow
        text_class = "names"
    return reason, text_class, bool(sign or address)


def _reason_of_signs(sentence: str) -> str | None:
    """Of a sentence that holds a sign which prose rarely does."""
    if _MARKUP.search(sentence):
        return "markup"
    without = _ADDRESS.sub("", sentence)
    if without != sentence and len(re.findall(r"\w+", without)) < 3:
        return "address"
    for expression, reason in ((_CODE, "code"), (_MATHEMATICS, "mathematics"), (_LEFT_OVER, "markup")):
        if expression.search(without):
            return reason
    return None
