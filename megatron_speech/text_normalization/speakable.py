"""Speakable sentences: splits a document into sentences and decides which can be read aloud, and why others cannot.

    text --lines--> code, tables | blocks of prose --sentences--> reason and class of each

Sentences cover the text; each includes the white space before it, as words do (`units`). `sentencex` finds English
sentences. Chinese ones end at their stops, found by one regular expression, because `sentencex` takes quadratic time
there (23 s for a paragraph of 240,000 characters).

The time is linear: 50 MB in a single line take seconds. Characters are classified once for the whole document, and
regular expressions run only on sentences with suspicious characters.

A sentence is refused as a whole if a voice would have to leave out a part (a word in another script, a formula).
The remaining words would misread it. Limitation: a sentence that quotes one Greek word stays text. The rules are
heuristics for prose; the noise report shows what they miss.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal, NamedTuple

import numpy as np
import sentencex

from megatron_speech.config.stages.text_to_token import Language
from megatron_speech.text_normalization.characters import Class
from megatron_speech.text_normalization.english.reader import goes_on

TextClass = Literal["prose", "numbers", "names", "dialogue"]

REASONS = ("code", "table", "mathematics", "markup", "address", "script", "control", "no_words", "reading")
"""Why a stretch cannot be spoken; "reading" is added by `sentence_readings` if a part has no certain reading."""

NUMBERS_SHARE, NAMES_SHARE, LONGEST_WORD = 0.1, 0.25, 40
"""A sentence is "numbers" above this share of digits, "names" above this share of capitalised words, and not language
above this mean word length."""

PIECE = 4000
"""Minimum number of characters that `sentencex` receives at once."""

LONGEST_CELL, LONGEST_STATEMENT = 100, 400
"""Largest mean length of a table's cells, and largest length of a line that is code by its first or last signs, in
characters. Longer lines are judged sentence by sentence, because many documents are a single line."""

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
    """One sentence, or a run of lines of code or of a table; offsets in characters, half-open."""

    start: int
    end: int
    reason: str | None
    """One of REASONS, or None if the stretch may be spoken."""
    text_class: TextClass


def stretches(text: str, *, language: Language, classes: np.ndarray) -> list[Stretch]:
    """Split `text` into consecutive stretches that cover it, in linear time; empty for an empty text.

    `language` decides the sentence stops and the readable scripts: Latin for en, Chinese and Latin for zh.
    `classes` holds the class of each character (`characters.character_classes`).
    """
    if not text:
        return []
    plain = text
    for line_break in _LINE_BREAKS:  # sentencex fails at some of them
        plain = plain.replace(line_break, "\n")
    has_lines = bool((classes == Class.SIGN).any()) or any(string in plain for string in _SUSPECT_STRINGS)
    # Cut the blocks of prose into sentences; `given` is the reason of a block of code or of a table.
    bounds: list[int] = []
    reasons: list[str | None] = []
    given: list[str | None] = []
    for start, end, reason in _blocks(plain) if has_lines else [(0, len(plain), None)]:
        starts = _sentence_starts(plain[start:end], start, language) if reason is None else [start]
        bounds += starts
        given += [reason] * len(starts)
    # Move white space at the end of a stretch to the next one.
    ends = [0]
    start = 0
    for stop, reason in zip([*bounds[1:], len(text)], given, strict=True):
        end = stop
        while end > start and plain[end - 1].isspace():
            end -= 1
        if end > start:  # a stretch of white space alone joins the next one
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
    found = [start for start in found[1:] if not goes_on(block, start - offset)]
    if "\n" not in block:
        return [offset, *found]
    # Lists and verse have no stops. An extra cut at a wrapped line that begins with a capital does no harm.
    return sorted({offset, *found, *(offset + match.end() for match in _NEW_LINE.finditer(block))})


def _pieces(block: str) -> Iterator[tuple[int, int]]:
    """Cut a block into consecutive pieces, each at the first unmistakable stop after PIECE characters.

    `sentencex` never cuts after an unclosed quotation mark, and takes quadratic time.
    """
    start = 0
    while stop := _SURE_STOP.search(block, start + PIECE):
        yield start, stop.end()
        start = stop.end()
    yield start, len(block)


def _blocks(text: str) -> Iterator[tuple[int, int, str | None]]:
    """Runs of lines with the same reason ("code", "table" or None): start, end, reason; they cover the text."""
    lines = text.splitlines(keepends=True)
    reasons = _line_reasons(lines)
    start = position = 0
    for number, line in enumerate(lines):
        position += len(line)
        if number + 1 == len(lines) or reasons[number + 1] != reasons[number]:
            yield start, position, reasons[number]
            start = position


def _line_reasons(lines: list[str]) -> list[str | None]:
    """Reason of each line; one or two lines between two lines of code count as code."""
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
    """Stretches between `bounds` with reason and class; `reasons` holds the reasons known from their lines."""
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
    """Number of characters of each class between `bounds`.

    Lower-case Latin letters, most of the text, are not counted but follow from the lengths.
    """
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
    """Reason and text class of a sentence from its `count` per character class, and whether to check its signs."""
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
    elif initial > 2 and initial - 1 >= NAMES_SHARE * (space + 1):  # the first word always has a capital
        text_class = "names"
    return reason, text_class, bool(sign or address)


def _reason_of_signs(sentence: str) -> str | None:
    """Reason of a sentence with signs that are rare in prose, or None."""
    if _MARKUP.search(sentence):
        return "markup"
    without = _ADDRESS.sub("", sentence)
    if without != sentence and len(re.findall(r"\w+", without)) < 3:
        return "address"
    for expression, reason in ((_CODE, "code"), (_MATHEMATICS, "mathematics"), (_LEFT_OVER, "markup")):
        if expression.search(without):
            return reason
    return None
