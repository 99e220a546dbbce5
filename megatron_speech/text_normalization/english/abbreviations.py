"""English abbreviations in words, and whether their full stop also ends a sentence."""

from __future__ import annotations

import re

from megatron_speech.text_normalization.english.numbers import (
    Rule,
    Unsure,
    any_of,
    cardinal,
    ends_sentence,
    is_counted,
    is_year,
    roman,
    rule,
    text_after,
    word_after,
    word_before,
    words_before,
    words_of,
)

_ALWAYS = {
    "mr": "mister", "mrs": "missus", "ms": "ms", "prof": "professor", "e.g": "for example", "i.e": "that is",
    "vs": "versus", "approx": "approximately", "jr": "junior", "sr": "senior", "gen": "general", "capt": "captain",
    "sgt": "sergeant", "dept": "department", "a.k.a": "also known as", "govt": "government", "inc": "incorporated",
    "ltd": "limited", "corp": "corporation", "bros": "brothers", "gov": "governor", "sen": "senator",
    "rev": "reverend", "lt": "lieutenant", "maj": "major", "cpl": "corporal", "adm": "admiral", "messrs": "messieurs",
    "ave": "avenue", "blvd": "boulevard", "viz": "namely", "cf": "compare", "al": "al", "esp": "especially",
    "drs": "doctors", "profs": "professors", "sens": "senators", "reps": "representatives", "govs": "governors",
    "tel": "telephone", "bldg": "building", "pkwy": "parkway", "incl": "including", "misc": "miscellaneous",
    "avg": "average", "ibid": "ibid", "calif": "california", "fla": "florida", "ariz": "arizona",
    "conn": "connecticut", "tenn": "tennessee", "minn": "minnesota", "okla": "oklahoma", "colo": "colorado",
    "pres": "president", "sts": "saints", "supt": "superintendent", "cmdr": "commander", "cdr": "commander",
    "pvt": "private", "pfc": "private first class", "msgr": "monsignor", "insp": "inspector", "brig": "brigadier",
    "assn": "association", "intl": "international", "univ": "university",
}  # fmt: skip
_BEFORE_NAMES = {"Mt": "mount", "Ft": "fort", "Col": "colonel", "Rep": "representative", "Fr": "father",
                 "Hon": "honorable", "Wm": "william", "Chas": "charles", "Thos": "thomas"}  # fmt: skip
_WITHOUT_STOPS = {"Mr": "mister", "Mrs": "missus", "Dr": "doctor", "Prof": "professor", "Mt": "mount"}
"""British style."""
_AFTER_NAMES = {"Co": "company", "Rd": "road", "Ln": "lane", "Sq": "square", "Pl": "place", "Hwy": "highway"}
_AFTER_PLACES = {
    "Mass": "massachusetts", "Wash": "washington", "Penn": "pennsylvania", "Pa": "pennsylvania", "Ala": "alabama",
    "Mich": "michigan", "Wis": "wisconsin", "Ore": "oregon", "Nev": "nevada", "Tex": "texas", "Va": "virginia",
    "Md": "maryland", "Neb": "nebraska", "Kan": "kansas", "Ky": "kentucky", "Ga": "georgia", "Ill": "illinois",
    "Ind": "indiana", "Mo": "missouri", "La": "louisiana", "Miss": "mississippi",
}  # fmt: skip
_BEFORE_NUMBERS = {
    "no": "number", "nos": "numbers", "vol": "volume", "vols": "volumes", "pp": "pages", "p": "page", "fig": "figure",
    "figs": "figures", "ch": "chapter", "ca": "circa", "c": "circa", "sec": "section", "est": "established",
    "eq": "equation", "art": "article", "op": "opus", "ext": "extension", "apt": "apartment",
    "hwy": "highway", "rte": "route", "para": "paragraph", "pt": "part", "bk": "book", "ver": "version",
}  # fmt: skip
_BEFORE_NUMERALS = [form for name in ("vol", "ch", "pt", "bk", "sec", "p", "pp") for form in (name, name.title())]
_WORDS_TOO = ("no", "art", "p", "c")
_UNNUMBERED = [form for name in _BEFORE_NUMBERS if name not in _WORDS_TOO for form in (name, name.title())]
"""What needs a number: the "Sec." of "Sec. of State" is refused."""
_UNKNOWN = [form for name in words_of(
    "temp abbr pron adj adv eds repr suppl illus anon attrib excl subsp emend phys chem acad proc econ hist geog biol "
    "asst assoc atty hosp mgr mfg org sched secy treas dist inst natl"
) for form in (name, name.title())]  # fmt: skip
"""Abbreviations of several words, or of words that depend on what follows."""
_OF_LIVES = {"b": "born", "d": "died", "r": "reigned"}
_BEFORE_NO = words_of("said say says is was or and with answer replied answered")
_TITLES = words_of("mr mrs ms prof gen capt sgt gov sen rev lt maj cpl adm")
_ENDING_NAMES = words_of("inc ltd corp bros jr sr ave blvd")
SHORT_NAMES = frozenset((*(name.lower() for name in (*_AFTER_NAMES, *_AFTER_PLACES)), *_ENDING_NAMES, "etc", "al"))
"""Lower-case words whose full stop may end a sentence before a number."""
_SAINTS = words_of(
    "Paul Mary John Peter James George Helens Louis Petersburg Lucia Andrews Andrew Patrick Francis Thomas "
    "Augustine Joseph Moritz Kitts Vincent Pierre Martin Nicholas Clair Lawrence Lucie Germain Catharines Albans "
    "Pancras Ives Bernard Michael David Anne Anthony Croix Tropez Gallen Elizabeth Simons Olaf Cloud Charles Mark "
    "Luke Matthew Stephen Benedict Johns Marks Jude Denis Giles Bride Barts"
)
_BEFORE_SAINTS = words_of(
    "Mount Port Fort Lake Sault Bay Cape Near From To Of By Between Around Visit Since Until Like Cathedral Church"
)
_STARTS = words_of(
    "The A An He She It They We I You Then There This That These In On At But And When After Before As If For "
    "With His Her Its Their My Our Who What Where Why How No Yes So Now Later Today"
)
"""Capitalised words that start a sentence rather than a name."""


def _before_number(found: re.Match[str]) -> str:
    """ "No. 5"; but "He said no. 12 others agreed"."""
    short, rest = found[1].lower(), text_after(found)
    number = re.match(r"([\d,.]*\d)\+?(?:\s(?:more\s|other\s)?([A-Za-z]+))?", rest)
    counts = number is not None and (is_counted(number[2] or "") or re.match(r"\S+\sof\s(?:them|us|you)", rest))
    if short in ("no", "art") and (counts or (found[1] == "no" and word_before(found).lower() in _BEFORE_NO)):
        raise Unsure("an abbreviation, or the end of a sentence")
    if short == "fig" and (counts or word_before(found).lower() in ("a", "an", "one")):
        raise Unsure("a figure, or a fruit")
    if short == "est" and (counts or number is None or not is_year(number[1])):
        raise Unsure("established or estimated")
    return _BEFORE_NUMBERS[short]


def _before_numeral(found: re.Match[str]) -> str | None:
    """ "vol. iv"."""
    digits = roman(found[2].upper())
    return f"{_BEFORE_NUMBERS[found[1].lower()]} {cardinal(digits)}" if digits else None


def _century(found: re.Match[str]) -> str:
    is_dated = re.match(r"\s(?:BC|AD|CE|B\.C\.|A\.D\.|C\.E\.)", text_after(found)) is not None
    return "century" + ("." if ends_sentence(found) and not is_dated else "")


def _abbreviation(found: re.Match[str]) -> str | None:
    short = found[1].lower()
    if short in _TITLES and re.match(r"\s\d", text_after(found, 2)):
        raise Unsure("a title, or another word")
    return _ALWAYS[short] + (found[2] or _stop(found, ends_names=short in _ENDING_NAMES))


def _stop(found: re.Match[str], *, ends_names: bool) -> str:
    """A full stop if the abbreviation ends a sentence, else "".

    With `ends_names` ("Inc.", "Jr."), a following word of _STARTS also shows the end of the sentence.
    """
    is_last = re.match(r"[\"“')\]]*\s*\Z", text_after(found))
    return "." if is_last or (ends_names and word_after(found) in _STARTS) else ""


def _limit(found: re.Match[str]) -> str:
    """ "the max. speed"; but "10 min. later"."""
    if re.search(r"\d\s\Z", words_before(found)):
        raise Unsure("minutes, or the least")
    return f"{found[1]}imum"


def _unknown(_: re.Match[str]) -> str:
    raise Unsure("an abbreviation")


def _et_cetera(found: re.Match[str]) -> str:
    return "et cetera" + ("." if ends_sentence(found) else "")


def _after_name(found: re.Match[str]) -> str | None:
    if not (word_before(found)[:1].isupper() or words_before(found).endswith("& ")):
        return None
    return _AFTER_NAMES[found[1]] + _stop(found, ends_names=True)


def _saint_or_street(found: re.Match[str]) -> str | None:
    after_name = word_before(found)[:1].isupper()
    following = word_after(found)
    if re.fullmatch("[A-Z][a-z]+", word_before(found)) and following in _SAINTS:
        if word_before(found) not in _BEFORE_SAINTS and word_before(found) not in _STARTS:
            raise Unsure("saint or street")
        return "saint"
    if following in _SAINTS or (following[:1].isupper() and following not in _STARTS and not after_name):
        return "saint"
    if following[:1].isupper() and following not in _STARTS:
        raise Unsure("saint or street")
    if not after_name:
        raise Unsure("saint or street")
    return "street" + ("." if ends_sentence(found) else "")


def _doctor_or_drive(found: re.Match[str]) -> str | None:
    before, following = word_before(found), word_after(found)
    starts_sentence = re.search(
        r"(?:\A|[.!?\"“]\s?)\w+,?\s\Z", found.string[max(0, found.start() - 40) : found.start()]
    )
    is_name = before[:1].isupper() and not (before in _STARTS or before.endswith("."))
    if following[:1].isupper() and (starts_sentence or not is_name) and following not in _STARTS - {"Who"}:
        return "doctor"
    if is_name and (not following or following[0].islower() or following in _STARTS):
        return "drive" + ("." if ends_sentence(found) else "")
    raise Unsure("doctor or drive")


def _number_sign(found: re.Match[str]) -> str:
    """ "No 5" without its stop."""
    if not re.search(r"[a-z,]\s\Z", words_before(found)):
        raise Unsure("number, or none")
    return "number" if found[1] == "No" else "numbers"


_SHORT = r"\.(?=[\s,;:)\]\"“?!—]|\Z)"
RULES: list[Rule] = [
    rule(rf"({any_of(_ALWAYS)})(?:{_SHORT}|\.('s)(?!\w))", _abbreviation, any_case=True),
    rule(r"etc\.?(?!\w)", _et_cetera, any_case=True),
    rule(rf"({any_of(_BEFORE_NUMBERS)})\.\s?(?=\d|AD\s\d)", _before_number, any_case=True),
    rule(rf"({any_of(_BEFORE_NUMERALS)})\.\s([ivxlIVXL]+)(?![\w'])", _before_numeral),
    rule(rf"(?:{any_of(_UNNUMBERED)})\.(?=\s[a-z])|[Nn]os?\.(?=\sof\s)", _unknown),
    rule(r"(max|min)\.(?=\s[a-z])", _limit),
    rule(rf"(?:{any_of(_UNKNOWN)})\.(?=\s[a-z\d(]|,)", _unknown),
    rule(r"(?<=\()([bdr])\.\s?(?=(?:ca?\.\s?)?\d{2,4}(?!\d))", lambda found: _OF_LIVES[found[1]]),
    rule(r"(?:(?<=\dth )|(?<=\dst )|(?<=\dnd )|(?<=\drd ))c\.(?!\w)", _century),
    rule(r"vs(?![\w.])", lambda _: "versus"),
    rule(r"(?!Rs)(?:[b-df-hj-np-tv-xz]{1,4})\.(?=\s\d)|(?<=\d\s)[a-z]\.(?=\s)", _unknown, any_case=True),
    rule(r"(?!ph\b)[b-df-hj-np-tv-xz]{2,5}\.(?=\s[a-z])", _unknown),
    rule(r"(Nos?)\s(?=\d)", _number_sign),
    rule(rf"({any_of(_WITHOUT_STOPS)})(?=\s[A-Z])", lambda found: _WITHOUT_STOPS[found[1]]),
    rule(r"St(?=\s[A-Z]|,)", _saint_or_street),
    rule(rf"St{_SHORT}", _saint_or_street),
    rule(rf"Dr{_SHORT}", _doctor_or_drive),
    rule(rf"({any_of(_BEFORE_NAMES)})\.(?=\s+[A-Z])", lambda found: _BEFORE_NAMES[found[1]]),
    rule(rf"({any_of(_AFTER_NAMES)}){_SHORT}", _after_name),
    rule(
        rf"(?:(?<=, )|(?<=\([DRI]-)|(?<=\()(?=\w+\.\)))({any_of(_AFTER_PLACES)})\.",
        lambda found: _AFTER_PLACES[found[1]],
    ),
    rule(
        r"(?:[A-Za-z]\.){2,}(?:[A-Za-z](?![A-Za-z]))?(?:'s(?!\w))?|(?:Ph|ph)\.[Dd]\.?|[A-Z]\.(?=\s[A-Z])",
        lambda found: found[0].lower(),
    ),
]
WORDS = frozenset(("No", "Nos", "etc", "St", "vs", *_WITHOUT_STOPS))
"""First words of the rules that match without a full stop."""
BEFORE_NAMES = frozenset(_BEFORE_NAMES) | {title.title() for title in _TITLES}
"""Words whose full stop never ends a sentence before a capital."""
STOPPED = frozenset(
    name.lower()
    for names in (
        *(_ALWAYS, _BEFORE_NAMES, _AFTER_NAMES, _AFTER_PLACES, _BEFORE_NUMBERS, _UNKNOWN),
        ("St", "Dr", "Ph", "etc", "max", "min"),
    )
    for name in names
)
"""Lower-case words after which a full stop may mark an abbreviation."""
