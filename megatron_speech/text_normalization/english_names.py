"""English abbreviations, numerals after names, and verses of scripture in words."""

from __future__ import annotations

import re

from megatron_speech.text_normalization.english_numbers import (
    END,
    END_OR_HYPHEN,
    Rule,
    Unsure,
    cardinal,
    ends_sentence,
    ordinal,
    roman,
    rule,
    text_after,
    word_after,
    word_before,
    words_before,
    words_of,
)

_ABBREVIATIONS = {
    "mr": "mister", "mrs": "missus", "ms": "ms", "prof": "professor", "e.g": "for example", "i.e": "that is",
    "vs": "versus", "approx": "approximately", "jr": "junior", "sr": "senior", "gen": "general", "capt": "captain",
    "sgt": "sergeant", "dept": "department", "a.k.a": "also known as", "govt": "government", "inc": "incorporated",
    "ltd": "limited", "corp": "corporation", "bros": "brothers", "gov": "governor", "sen": "senator",
    "rev": "reverend", "lt": "lieutenant", "maj": "major", "cpl": "corporal", "adm": "admiral", "messrs": "messieurs",
    "ave": "avenue", "blvd": "boulevard", "viz": "namely", "cf": "compare", "al": "al", "esp": "especially",
    "assn": "association", "intl": "international", "univ": "university", "ing": "ing",
}  # fmt: skip
_ONLY_BEFORE_NAMES = {"Mt": "mount", "Ft": "fort", "Col": "colonel", "Rep": "representative", "Fr": "father",
                      "Hon": "honorable", "Gen": "general", "Lt": "lieutenant"}  # fmt: skip
_ONLY_AFTER_NAMES = {"Co": "company", "Rd": "road", "Ln": "lane", "Sq": "square", "Pl": "place", "Hwy": "highway"}
_BEFORE_NUMBERS = {"no": "number", "nos": "numbers", "vol": "volume", "vols": "volumes", "pp": "pages", "p": "page",
                   "fig": "figure", "figs": "figures", "ch": "chapter", "ca": "circa", "c": "circa", "sec": "section",
                   "est": "established", "eq": "equation", "art": "article"}  # fmt: skip
_HEADS = ("World War", "Chapter", "Part", "Volume", "Book", "Act", "Scene", "Type", "Phase", "Class", "Mark", "Section",
          "Super Bowl", "Title", "Article", "Episode", "Stage", "Grade", "Level", "Appendix", "Vatican", "Category",
          "Division", "Region", "Unit", "Table", "Figure", "Canto", "Tier", "Type")  # fmt: skip
_REGNAL = words_of(
    "Abbas Abdulhamid Abdullah Afonso Ahmed Akbar Albert Alexander Alexios Alfonso Alonso Alphonso Amenhotep "
    "Andrew Andronikos Anne Antiochus Arsinoe Artaxerxes Asen Attalus Baldwin Basarab Basil Baudouin Bayezid Bela "
    "Benedict Berengar Berenice Birger Bogdan Bohemond Boleslaw Boniface Cambyses Canute Carl Carlos Casimir "
    "Catherine Charles Christian Christina Clement Cleopatra Cnut Conrad Constantine Cosimo Cyrus Darius David "
    "Edgar Edward Elizabeth Emmanuel Enrique Eric Erik Felipe Ferdinand Fernando Ferrante Francis Franz Frederick "
    "Friedrich Galeazzo Garcia George Gregory Guillaume Gustav Gustavus Haakon Harald Hassan Henri Henry Honorius "
    "Hormizd Innocent Isabella Ivan James Jean John Joseph Juan Julius Justinian Kamehameha Kenneth Khan Khosrow "
    "Leo Leopold Lothair Louis Ludwig Magnus Mahmud Malcolm Manuel Margaret Margrethe Maria Mary Matthias "
    "Maximilian Mehmed Menelik Mentuhotep Michael Mieszko Mircea Mithridates Moctezuma Murad Mustafa Napoleon "
    "Nebuchadnezzar Nicholas Norodom Olav Oscar Osman Otto Ottokar Paul Pedro Pepi Peter Philip Philippe Pius "
    "Psamtik Ptolemy Radu Rainier Rama Ramesses Ramiro Ramses Raymond Richard Robert Roger Romanos Rudolf Sancho "
    "Sargon Seleucus Selim Senusret Seti Shalmaneser Shapur Sigismund Sixtus Stefan Stephen Suleiman Sverre Sweyn "
    "Theodosius Thutmose Tiglath Umberto Urban Valdemar Victor Vlad Vladislaus Wenceslaus Wilhelm William "
    "Wladyslaw Xerxes Yazdegerd"
)
_TITLES = ("King", "Queen", "Pope", "Emperor", "Tsar", "Czar", "Kaiser", "Sultan", "Empress", "Prince", "Duke")
_SAINTS = words_of(
    "Paul Mary John Peter James George Helens Louis Petersburg Lucia Andrews Andrew Patrick Francis Thomas "
    "Augustine Joseph Moritz Kitts Vincent Pierre Martin Nicholas Clair Lawrence Lucie Germain Catharines Albans "
    "Pancras Ives Bernard Michael David Anne Anthony Croix Tropez Gallen Elizabeth Simons Olaf Cloud Charles Mark "
    "Luke Matthew Stephen Benedict Johns Marks Jude Denis Giles Bride Barts"
)
_STARTS = words_of(
    "The A An He She It They We I You Then There This That These In On At But And When After Before As If For "
    "With His Her Its Their My Our Who What Where Why How No Yes So Now Later Today"
)
"""Capitalised words that begin a sentence rather than a name."""
_BOOKS = words_of(
    "Genesis Exodus Leviticus Numbers Deuteronomy Joshua Judges Ruth Samuel Kings Chronicles Ezra Nehemiah Esther "
    "Job Psalm Psalms Proverbs Ecclesiastes Isaiah Jeremiah Lamentations Ezekiel Daniel Hosea Joel Amos Obadiah "
    "Jonah Micah Nahum Habakkuk Zephaniah Haggai Zechariah Malachi Matthew Mark Luke John Acts Romans Corinthians "
    "Galatians Ephesians Philippians Colossians Thessalonians Timothy Titus Philemon Hebrews James Peter Jude "
    "Revelation"
)
_NUMERAL = r"([IVXL]+)"
_FIRST_PERSON = words_of(
    "am was have had will would can could should may might must do did know knew think thought say said saw see "
    "went go feel felt believe want wanted like love need came come made make took take told got get never always "
    "also just"
)
_AFTER_RULERS = words_of(
    "of and was or is became ruled reigned died succeeded ascended ordered issued founded married defeated himself "
    "herself in to from at with"
)
_DRIPS = (
    "drip",
    "line",
    "lines",
    "fluid",
    "fluids",
    "therapy",
    "antibiotics",
    "bag",
    "bags",
    "drug",
    "drugs",
    "needle",
)


def _abbreviation(found: re.Match[str]) -> str | None:
    words = _ABBREVIATIONS[found[1].lower()]
    if found[2]:
        return words + "'s"
    return words + _stop_after_names(
        found, found[1].lower() in ("inc", "ltd", "corp", "bros", "jr", "sr", "ave", "blvd")
    )


def _stop_after_names(found: re.Match[str], may_end: bool) -> str:
    """The stop of a sentence that ends with an abbreviation."""
    is_last = re.match(r"[\"')\]]*\s*\Z", text_after(found, 40))
    return "." if may_end and (is_last or word_after(found) in _STARTS) else ""


def _et_cetera(found: re.Match[str]) -> str:
    return "et cetera" + ("." if ends_sentence(found) else "")


def _before_name(found: re.Match[str]) -> str | None:
    return _ONLY_BEFORE_NAMES[found[1]]


def _after_name(found: re.Match[str]) -> str | None:
    if not (word_before(found)[:1].isupper() or words_before(found).endswith("& ")):
        return None
    return _ONLY_AFTER_NAMES[found[1]] + _stop_after_names(found, may_end=True)


def _saint_or_street(found: re.Match[str]) -> str | None:
    after_name = word_before(found)[:1].isupper()
    following = word_after(found)
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
    after_name = before[:1].isupper() and not (starts_sentence or before in _STARTS or before.endswith("."))
    if not after_name and following[:1].isupper():
        return "doctor"
    if after_name and (not following or following[0].islower() or following in _STARTS):
        return "drive" + ("." if ends_sentence(found) else "")
    raise Unsure("doctor or drive")


def _initials(found: re.Match[str]) -> str:
    return found[0].lower()


def _lone_i(found: re.Match[str]) -> str:
    """ "I" for who speaks; but "Ivan Asen I, one of"."""
    if re.search(r"[a-z,]\s[A-Z][a-z]+\s\Z", found.string[max(0, found.start() - 40) : found.start()]):
        raise Unsure("a numeral, or a person who speaks")
    return "i"


def _numbered(found: re.Match[str]) -> str:
    return _BEFORE_NUMBERS[found[1].lower()]


def _headed(found: re.Match[str]) -> str | None:
    """ "World War II", "Act III", "scene ii"."""
    digits = roman(found[2].upper())
    if digits is None or (found[2].islower() and found[2] == "i"):
        return None
    if found[2] == "I" and word_after(found) in _FIRST_PERSON - {"was"}:
        raise Unsure("a numeral, or a person who speaks")
    return f"{found[1].lower()} {cardinal(digits)}"


def _regnal(found: re.Match[str]) -> str | None:
    """ "Louis XIV", "Pope John Paul II", "King George I"."""
    title, name, numeral, owner = found.groups()
    digits = roman(numeral)
    if digits is None or numeral == "L" or (name == "Malcolm" and numeral == "X"):
        return None
    if numeral == "I":
        after = word_after(found)
        is_plain = after in _AFTER_RULERS or after[:1].isupper() or re.match(r"\s?[,.;:)]|\s*\Z", text_after(found, 4))
        if after in _FIRST_PERSON - {"was"} or not (title or owner or is_plain):
            raise Unsure("a numeral, or a person who speaks")
    if len(numeral) == 1 and re.match(r"\.\s+[A-Z]", text_after(found, 20)):
        raise Unsure("a numeral or an initial")
    before = f"{title.lower()} " if title else ""
    return f"{before}{name.lower()} the {ordinal(digits)}{owner or ''}"


def _lone_numeral(found: re.Match[str]) -> str | None:
    """Letters where they are one, or a usual abbreviation ("CD", "MD"); other numerals need a name before them."""
    numeral = found[1]
    if len(numeral) == 1 or roman(numeral) is None or (len(numeral) < 4 and re.search("[LCDM]", numeral)):
        return None
    if numeral == "IV" and word_after(found) in _DRIPS:
        return "iv"
    raise Unsure("a numeral after an unknown name")


def _roman_century(found: re.Match[str]) -> str | None:
    digits = roman(found[1])
    return f"{ordinal(digits)} {found[2]}" if digits else None


def _verse(found: re.Match[str]) -> str:
    """ "John 3:16-18", "1 Corinthians 13:4"."""
    number, book, chapter, verse, last = found.groups()
    nth = f"{ordinal(number)} " if number else ""
    until = f" to {cardinal(last)}" if last else ""
    return f"{nth}{book.lower()} {cardinal(chapter)} {cardinal(verse)}{until}"


def _any_of(words: object) -> str:
    return "|".join(map(re.escape, sorted(words, key=len, reverse=True)))  # type: ignore[call-overload]


_SHORT = r"\.(?=[\s,;:)\]\"“?!—]|\Z)"
VERSE = rule(rf"(?:([123])\s)?({_any_of(_BOOKS)})\s(\d{{1,3}}):(\d{{1,3}})(?:[-–](\d{{1,3}}))?{END}", _verse)
RULES: list[Rule] = [
    rule(rf"([IVX]+)(?:th)?[\s-](century|centuries){END}", _roman_century),
    rule(rf"({_any_of(_HEADS)})\s([IVXLivx]+){END_OR_HYPHEN}", _headed),
    rule(rf"(?:({_any_of(_TITLES)})\s)?((?:[A-Z][a-z]+\s)?(?:{_any_of(_REGNAL)}))\s{_NUMERAL}('s)?(?=\W|\Z)", _regnal),
    rule(rf"({_any_of(_ABBREVIATIONS)})(?:{_SHORT}|\.('s)(?!\w))(?!\s*\Z(?<=al\.))", _abbreviation, any_case=True),
    rule(r"etc\.?(?![\w])", _et_cetera, any_case=True),
    rule(rf"({_any_of(_BEFORE_NUMBERS)})\.\s?(?=\d)", _numbered, any_case=True),
    rule(r"(No)s?\s(?=\d)", lambda found: "number" if found[0][2] == " " else "numbers"),
    rule(rf"St{_SHORT}", _saint_or_street),
    rule(rf"Dr{_SHORT}", _doctor_or_drive),
    rule(rf"({_any_of(_ONLY_BEFORE_NAMES)})\.(?=\s+[A-Z])", _before_name),
    rule(rf"({_any_of(_ONLY_AFTER_NAMES)}){_SHORT}", _after_name),
    rule(r"(?:[A-Za-z]\.){2,}(?:[A-Za-z](?![A-Za-z]))?(?:'s(?!\w))?|(?:Ph|ph)\.[Dd]\.?|[A-Z]\.(?=\s[A-Z])", _initials),
    rule(r"I(?=\s?[.,;:)(?!]|'s|\sof\s)", _lone_i),
    rule(r"([IVXLCDM]+)(?![\w.])", _lone_numeral),
]
WORDS = frozenset((*_BOOKS, *(head.split()[0] for head in _HEADS), *_REGNAL, *_TITLES, "No", "Nos", "etc"))
"""Words that one of the rules begins with, where no stop follows them."""
