"""English telephone numbers, addresses, versions and names with digits, in words."""

from __future__ import annotations

import re

from megatron_speech.text_normalization.english.dates import MONTHS
from megatron_speech.text_normalization.english.numbers import (
    END,
    END_OR_HYPHEN,
    NUMBER,
    Rule,
    Unsure,
    cardinal,
    plural,
    rule,
    spell,
    value,
    word_before,
    words_of,
)
from megatron_speech.text_normalization.english.units import is_other_case

_ENDINGS = "com|org|net|edu|gov|io|ai|co|uk|us|de|fr|eu|info|tv|me|ca|au|in|jp|ch|nl"
_MONTHS = frozenset(month[:3].lower() for month in MONTHS)
_SMALL_MIXED = ("mp3", "mp4", "h2o", "co2", "covid-19")
_SIGNS = re.compile(r"\d+|[A-Za-z]")
_SIGN_NAMES = {".": "dot", "/": "slash", "@": "at", "-": "dash", "_": "underscore", ":": "colon"}
_VERSIONS = ("version", "versions", "release", "python", "ios", "android", "ubuntu", "v", "java", "linux", "kernel",
             "firmware", "php", "node", "chrome", "firefox", "windows", "macos")  # fmt: skip
_FORMULAS = words_of(
    "CO2 CO2e CO3 NO2 NO3 N2O SO2 SO3 SO4 H2SO4 HNO3 H2O2 H3PO4 PO4 NH3 NH4 CH4 C2H4 C2H6 C3H8 C6H6 C6H12O6 H2CO3"
)
"""Chemical formulas, read letter by letter."""
_ELEMENTS = words_of(
    "H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr Rb Sr Y Zr Nb "
    "Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U"
)
_SLASHED = {"and/or": "and or", "he/she": "he or she", "she/he": "she or he", "his/her": "his or her",
            "him/her": "him or her", "w/o": "without", "w/": "with", "ac/dc": "ac dc", "tcp/ip": "tcp ip",
            "hiv/aids": "hiv aids", "c/o": "care of"}  # fmt: skip
_NAMES = {"C++": "c plus plus", "C#": "c sharp", "F#": "f sharp", "WW2": "world war two", "WW1": "world war one",
          "WWII": "world war two", "WWI": "world war one", "3D": "three d", "2D": "two d"}  # fmt: skip


def _address(found: re.Match[str]) -> str:
    """ "https://example.com/a" without its scheme, "jo.b@site.org"."""
    address = re.sub(r"\A(?:https?|ftp)://", "", found[0], flags=re.IGNORECASE)
    if re.search(r"[^\w.@/-]|\d{3}", address) or not address.isascii():
        raise Unsure("an address with signs")
    said = re.sub(r"[./@_-]", lambda sign: f" {_SIGN_NAMES[sign[0]]} ", address)
    said = re.sub(r"\d+", lambda digits: f" {cardinal(digits[0])} ", said)
    return re.sub(r"(?: slash)+\Z", "", " ".join(said.lower().split()))


def _phone(found: re.Match[str]) -> str:
    return ("plus " if found[0].startswith("+") else "") + spell(found[0])


def _local_phone(found: re.Match[str]) -> str:
    return f"{spell(found[1])}, {spell(found[2])}"


def _isbn(found: re.Match[str]) -> str | None:
    digits = re.sub(r"\D", "", found[1])
    ends_in_x = found[1].endswith("X")
    if len(digits) + ends_in_x not in (10, 13):
        raise Unsure("no ISBN")
    return f"{found[0][:4].lower()} {spell(digits)}{' x' if ends_in_x else ''}"


def _ip(found: re.Match[str]) -> str | None:
    parts = found[0].split(".")
    if len(parts) == 4 and all(int(part) < 256 for part in parts):
        return " dot ".join(map(spell, parts))
    if len(parts) == 4 or any(len(part) > 3 for part in parts) or all(len(part) == 3 for part in parts[1:]):
        raise Unsure("a date, a version or thousands")
    return " point ".join(map(cardinal, parts))


def _version(found: re.Match[str]) -> str | None:
    """ "Python 3.11": raises Unsure after the name of software, where "11" may be a number of its own."""
    if len(found[2]) > 1 and word_before(found).lower() in _VERSIONS:
        raise Unsure("a version or a decimal")
    return None


def _v_version(found: re.Match[str]) -> str:
    return "v " + " point ".join(map(cardinal, found[1].split(".")))


def _mixed(found: re.Match[str]) -> str | None:
    """ "B-52", "MP3", "H1N1", "COVID-19": letters as written; numbers up to two digits, or full hundreds."""
    if found[0] in _NAMES:
        return _NAMES[found[0]]
    if found[0] in _FORMULAS:
        return " ".join(cardinal(part) if part.isdecimal() else part.lower() for part in _SIGNS.findall(found[0]))
    if re.fullmatch(r"Nos?\d+", found[0]):
        raise Unsure("number, or no")
    if found[0].partition("-")[0].lower()[:3] in _MONTHS:
        raise Unsure("a date, or a name")
    if re.match(r"[a-z]{2,}-", found[0]):
        return None  # "mid-1990s"
    is_leet = found[0].islower() and found[0] not in _SMALL_MIXED
    if re.search(r"[a-z][A-Z]|\d[a-z]{2}|\A[kcm]?m[23]\Z", found[0]) or is_leet:
        raise Unsure("letters and digits of several readings")
    words = []
    for part in re.findall(r"[A-Za-z]+|\d+", found[0]):
        if part.isdecimal():
            if len(part) > 2 and not re.fullmatch(r"[1-9]00", part):
                raise Unsure("a number by its digits, or as a count")
            words.append(cardinal(part))
        else:
            words.append(part.lower())
    return " ".join(words)


def _formula(found: re.Match[str]) -> str | None:
    """ "Fe2O3", "C2H5OH": letter by letter; None if a part is no element, or the letters may be a name ("MP3")."""
    is_inner = re.search(r"\d[A-Z]|[a-z]\d|[a-z][A-Z].*\d", found[0]) is not None
    if not is_inner or not _ELEMENTS.issuperset(re.findall("[A-Z][a-z]?", found[0])):
        return None
    return " ".join(cardinal(part) if part.isdecimal() else part.lower() for part in _SIGNS.findall(found[0]))


def _many_mixed(found: re.Match[str]) -> str:
    return f"{found[1].lower().rstrip('-')} {plural(cardinal(found[2]))}"


def _digit_first(found: re.Match[str]) -> str | None:
    if found[4] in ("ST", "ND", "RD", "TH"):
        return None
    if found[3] and is_other_case(found[4]):
        raise Unsure("a unit, or other letters")
    if found[3]:
        return f"{cardinal(found[3])} {found[4].lower()}"
    if found[2] in "CFKMB" and found[1] != "4":
        raise Unsure("a unit, or a letter")
    return f"{cardinal(found[1])} {found[2].lower()}"


def _issn(found: re.Match[str]) -> str:
    return f"issn {spell(found[1])}{' x' if found[1].endswith('X') else ''}"


def _letters(found: re.Match[str]) -> str:
    """ "AT&T"."""
    letters, owner, _ = found[0].partition("'s")
    return " ".join(letters).lower().replace("&", "and") + owner


_OPERATIONS = {"+": "plus", "-": "minus", "−": "minus", "–": "minus", "×": "times", "x": "times", "÷": "divided by",
               "=": "equals"}  # fmt: skip


def _equation(found: re.Match[str]) -> str:
    """ "2+2=4"."""
    parts = re.findall(r"[\d.]+|[-+−–×x÷=]", found[0])
    return " ".join(_OPERATIONS.get(part) or cardinal(part) for part in parts)


def _thousands(found: re.Match[str]) -> str:
    return f"{cardinal(found[1])} {'thousand' if found[2] == 'k' else 'billion'}"


def _by(found: re.Match[str]) -> str:
    first, last = found[1], found[2]
    if max(value(first), value(last)) >= 1000:
        raise Unsure("a size in numbers of four digits")
    return f"{cardinal(first)} by {cardinal(last)}"


def _slashed(found: re.Match[str]) -> str | None:
    words = _SLASHED.get(found[0].lower())
    if words is None:
        raise Unsure("a slash between words")
    return words


def _hashtag(found: re.Match[str]) -> str | None:
    if not (found[2].islower() or found[2].istitle()):
        raise Unsure("words run together")
    return f"{'hashtag' if found[1] == '#' else 'at'} {found[2].lower()}"


def _offset(found: re.Match[str]) -> str:
    sign = {"+": "plus", "-": "minus"}[found[2]]
    return f"{found[1].lower()} {sign} {cardinal(found[3])}"


_PHONE = r"(?:\+?\d{1,3}[\s.-])?(?:\(\d{3}\)\s?|\d{3}[\s.-])\d{3}[\s.-]\d{4}"
_OPERAND = r"\d{1,6}(?:\.\d{1,4})?"
RULES: list[Rule] = [
    rule(rf"{_OPERAND}(?:\s?[-+−–×x÷]\s?{_OPERAND}){{1,4}}\s?=\s?{_OPERAND}{END}", _equation),
    rule(rf"{NUMBER}\+(?=\s(?:[a-z]+s|people|men|women|children)\b)", lambda found: f"{cardinal(found[1])} plus"),
    rule(rf"(\d\d?)-([A-Z]){END_OR_HYPHEN}", lambda found: f"{cardinal(found[1])} {found[2].lower()}"),
    rule(rf"ISSN:?\s(\d{{4}}-\d{{3}}[\dX]){END}", _issn),
    rule(r"[A-Z]{1,3}&[A-Z]{1,3}(?:'s)?(?![\w&])", _letters),
    rule(
        r"(?:https?://|ftp://|www\.)\S*[\w/]|[\w.+-]{1,64}@[\w-]{1,64}(?:\.[\w-]{1,64})*\.[A-Za-z]{2,}",
        _address,
        any_case=True,
    ),
    rule(rf"(?:[A-Za-z][\w-]{{0,62}}\.){{1,4}}(?:{_ENDINGS})(?:/[\w/-]*)?(?=[\s,;:!?)\"]|\.\s|\.?\Z)", _address),
    rule(rf"ISBN(?:-1[03])?:?\s([\d][\d -]{{8,16}}[\dX]){END}", _isbn),
    rule(rf"{_PHONE}{END}", _phone),
    rule(rf"\+\d{{1,3}}(?:[\s-]\(?\d{{1,4}}\)?){{2,5}}{END}", _phone),
    rule(rf"(?:0\d{{2,4}}[\s-]|\(0\d{{2,4}}\)\s?)\d{{3,4}}[\s-]?\d{{3,4}}{END}", _phone),
    rule(rf"\d{{3}}-\d\d-\d{{4}}{END}", _phone),
    rule(rf"\d{{4}}([ -])\d{{4}}\1\d{{4}}\1\d{{4}}{END}", _phone),
    rule(rf"(\d{{3}})-(\d{{4}}){END}", _local_phone),
    rule(rf"\d{{1,4}}(?:\.\d{{1,4}}){{2,3}}{END}", _ip),
    rule(rf"(\d+)\.(\d+){END}", _version),
    rule(rf"[vV](\d{{1,3}}(?:\.\d{{1,3}}){{0,3}}){END}", _v_version),
    rule(r"(?:C\+\+|C#|F#)(?=[\s,;:.!?)]|\Z)", _mixed),
    rule(r"WWII?(?![\w-])", _mixed),
    rule(rf"(UTC|GMT)([+-])(\d\d?){END}", _offset),
    rule(rf"([A-Z]{{1,3}}-?)(\d\d?)s{END}", lambda found: _many_mixed(found) if "-" in found[1] else None),
    rule(rf"(?:[A-Z][a-z]?\d{{0,2}}){{2,}}{END_OR_HYPHEN}", _formula),
    rule(rf"[A-Za-z]++(?:-?\d++[A-Za-z]*+)++(?:-[A-Z])?{END_OR_HYPHEN}", _mixed),
    rule(rf"(\d+)\s?x\s?(\d+){END_OR_HYPHEN}", _by),
    rule(rf"(\d+)([A-Z]){END_OR_HYPHEN}|(\d\d?)([A-Z]{{2,3}}){END_OR_HYPHEN}", _digit_first),
    rule(rf"{NUMBER}(k|bn)(?=\s[a-z]+s\b|\s(?:people|men|women|children)\b)", _thousands),
    rule(r"[A-Za-z]+/[A-Za-z]*(?![\w/])", _slashed),
    rule(r"([#@])([A-Za-z]{2,})(?![\w@#./-])", _hashtag),
]
WORDS = frozenset(("http", "https", "HTTP", "HTTPS", "ftp", "FTP", "ISBN", "ISSN", "WWI", "WWII"))
"""First words of the rules that match without a sign after them."""
