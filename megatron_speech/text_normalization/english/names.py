"""Roman numerals after English names, and verses of scripture, in words."""

from __future__ import annotations

import re

from megatron_speech.text_normalization.english.numbers import (
    END,
    END_OR_HYPHEN,
    Rule,
    Unsure,
    any_of,
    cardinal,
    ordinal,
    roman,
    rule,
    text_after,
    word_after,
    word_before,
    words_before,
    words_of,
)

_HEADS = ("World War", "Chapter", "Part", "Volume", "Book", "Act", "Scene", "Type", "Phase", "Class", "Mark", "Section",
          "Super Bowl", "Title", "Article", "Episode", "Stage", "Grade", "Level", "Appendix", "Vatican", "Category",
          "Division", "Region", "Unit", "Table", "Figure", "Canto", "Tier", "Schedule")  # fmt: skip
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
_BOOKS = words_of(
    "Genesis Exodus Leviticus Numbers Deuteronomy Joshua Judges Ruth Samuel Kings Chronicles Ezra Nehemiah Esther "
    "Job Psalm Psalms Proverbs Ecclesiastes Isaiah Jeremiah Lamentations Ezekiel Daniel Hosea Joel Amos Obadiah "
    "Jonah Micah Nahum Habakkuk Zephaniah Haggai Zechariah Malachi Matthew Mark Luke John Acts Romans Corinthians "
    "Galatians Ephesians Philippians Colossians Thessalonians Timothy Titus Philemon Hebrews James Peter Jude "
    "Revelation"
)
SHORT_BOOKS = {
    "Gen": "genesis", "Ex": "exodus", "Exod": "exodus", "Num": "numbers", "Lev": "leviticus", "Deut": "deuteronomy",
    "Josh": "joshua", "Judg": "judges", "Sam": "samuel", "Kgs": "kings", "Chr": "chronicles", "Chron": "chronicles",
    "Neh": "nehemiah", "Ps": "psalm", "Prov": "proverbs", "Eccl": "ecclesiastes", "Isa": "isaiah", "Jer": "jeremiah",
    "Lam": "lamentations", "Ezek": "ezekiel", "Dan": "daniel", "Hos": "hosea", "Mic": "micah", "Hab": "habakkuk",
    "Zech": "zechariah", "Mal": "malachi", "Matt": "matthew", "Mt": "matthew", "Mk": "mark", "Lk": "luke", "Jn":
    "john", "Rom": "romans", "Cor": "corinthians", "Gal": "galatians", "Eph": "ephesians", "Phil": "philippians",
    "Col": "colossians", "Thess": "thessalonians", "Tim": "timothy", "Heb": "hebrews", "Jas": "james", "Pet": "peter",
    "Rev": "revelation",
}  # fmt: skip
_NUMERAL = r"([IVXL]+)"
_FIRST_PERSON = words_of(
    "am was have had will would can could should may might must do did know knew think thought say said saw see "
    "went go feel felt believe want wanted like love need came come made make took take told got get never always "
    "also just"
)
_AFTER_RULERS = words_of("of is has reigned succeeded ascended abdicated himself herself in to from at with by on for")
"""Words after "Charles I" that show that "I" is a numeral, not a pronoun."""
_OF_RULERS = re.compile(
    r"\s(?:was|became)\s(?:born|crowned|executed|beheaded|deposed|assassinated|succeeded|buried|king|queen|emperor|tsar"
    r"|pope)\b"
)
_ENDS_NAME = re.compile(r"\s?[.;:()]|\s*\Z|,(?!\s(?:too|as|for|personally|however|myself|like|of course)\b)")
"""Ends the name "Charles I", unlike the comma of "I told Charles I, too, was ill"."""
_AND_RULER = re.compile(r"\sand\s[A-Z][a-z]+\s[IVX]+\b")
_RULER_BEFORE = re.compile(
    r"\b(?:reign|son|daughter|wife|widow|court|execution|death|coronation|successor|accession|heir)s? of \Z"
)
_SENTENCE_START = re.compile(r"(?:\A|[.?!\n]\s)\s*\Z")
_NUMBERED_BOOKS = words_of("Corinthians Thessalonians Chronicles Maccabees")
_NO_NAMES = words_of("Exod Deut Eccl Isa Ezek Zech Rom Eph Heb Hab Prov")
"""Short books that are no names of people, and can be read without a verse."""
_NUMBERED_SHORT = words_of("Sam Kgs Chr Chron Cor Thess Tim Pet")
_NUMBERED_NAMES = words_of("Samuel Kings Timothy Peter John")
_AFTER_TYPES = words_of(
    "diabetes error errors collagen is are was were has and or in of interferon secretion drug drugs substance "
    "civilization supernova supernovae hypersensitivity"
)
_BEFORE_SPEAKERS = words_of(
    "Am Was Can Could Should Would Will Shall May Might Must Do Did Have Had Need Dare And But Or Nor So If When Then "
    "As While Because Since Than Like Though Although Yes No Oh Ah Well Why How What Where Who Now Here There Only "
    "Even That Not Neither Either Until Unless Before After Once Whether Perhaps Maybe"
)
_SMALL_HEADS = words_of("chapter act scene part book volume section page pages p pp vol canto")
_DRIPS = words_of("drip line lines fluid fluids therapy antibiotics bag bags drug drugs needle")


def _lone_i(found: re.Match[str]) -> str:
    """The pronoun "I"; raises Unsure after a name: "Ivan Asen I, one of"."""
    before = word_before(found)
    if re.fullmatch("[A-Z][a-z]+", before) and before not in _BEFORE_SPEAKERS:
        raise Unsure("a numeral, or a person who speaks")
    return "i"


def _typed(found: re.Match[str]) -> str | None:
    """ "type I diabetes", "type II"; but "the type I like"."""
    after, digits = word_after(found), roman(found[0])
    if found[0] != "I":
        return cardinal(digits) if digits else None
    if after in _FIRST_PERSON - {"was"}:
        return "i"
    if after and after not in _AFTER_TYPES:
        raise Unsure("a numeral, or a person who speaks")
    return "one"


def _second_of_type(found: re.Match[str]) -> str | None:
    """ "types I and II"."""
    digits = roman(found[0])
    is_type = re.search(r"\b(?:type|phase|class|part|stage|schedule|grade)s? [ivx]+ (?:and|or) \Z", words_before(found))
    return cardinal(digits) if is_type and digits else None


def _numbered_book(found: re.Match[str]) -> str:
    """ "I Corinthians", "II Samuel 7"."""
    return f"{ordinal(str(len(found[1])))} {found[2].lower()}"


def _headed(found: re.Match[str]) -> str | None:
    """ "World War II", "Act III", "scene ii"."""
    digits = roman(found[2].upper())
    if digits is None or (found[2].islower() and found[2] == "i"):
        return None
    if found[2] == "I" and word_after(found) in _FIRST_PERSON - {"was"}:
        raise Unsure("a numeral, or a person who speaks")
    return f"{found[1].lower()} {cardinal(digits)}{found[3] or ''}"


def _regnal(found: re.Match[str]) -> str | None:
    """ "Louis XIV", "Pope John Paul II", "King George I"."""
    title, name, numeral, owner = found.groups()
    digits = roman(numeral)
    if digits is None or numeral == "L" or (name == "Malcolm" and numeral == "X"):
        return None
    if numeral == "I" and not _is_first(found, title, owner):
        raise Unsure("a numeral, or a person who speaks")
    if len(numeral) == 1 and re.match(r"\.\s+[A-Z]", text_after(found, 20)):
        raise Unsure("a numeral or an initial")
    before = f"{title.lower()} " if title else ""
    return f"{before}{name.lower()} the {ordinal(digits)}{owner or ''}"


def _is_first(found: re.Match[str], title: str | None, owner: str | None) -> bool:
    """Whether the "I" of "Charles I" is surely a numeral, by the words around it."""
    after, rest = word_after(found), text_after(found)
    if after in _FIRST_PERSON - {"was"}:
        return False
    if owner or after in _AFTER_RULERS or _ENDS_NAME.match(rest) or _AND_RULER.match(rest):
        return True
    begins = _SENTENCE_START.search(found.string[max(0, found.start() - 4) : found.start()]) is not None
    if title and begins:
        return True
    return bool(((begins or title) and _OF_RULERS.match(rest)) or _RULER_BEFORE.search(words_before(found)))


def _lone_numeral(found: re.Match[str]) -> str | None:
    """None for single letters and usual abbreviations ("CD", "MD"); raises Unsure for other numerals."""
    numeral = found[1]
    if len(numeral) == 1 or roman(numeral) is None or (len(numeral) < 4 and re.search("[LCDM]", numeral)):
        return None
    if numeral == "IV" and word_after(found) in _DRIPS:
        return "iv"
    raise Unsure("a numeral after an unknown name")


def _roman_century(found: re.Match[str]) -> str | None:
    digits = roman(found[1])
    return f"{ordinal(digits)} {found[2]}" if digits else None


def _small_numeral(found: re.Match[str]) -> str | None:
    """ "chapter iv", "page xii"."""
    numeral, digits = found[0], roman(found[0].upper())
    if digits is not None and word_before(found).lower().rstrip(".") in _SMALL_HEADS:
        return cardinal(digits)
    if "ii" not in numeral:
        return numeral  # a word: "i", "xi"
    raise Unsure("a numeral after an unknown name")


def _by(found: re.Match[str]) -> str | None:
    """ "10 in. x 5 in."."""
    return "by" if re.search(r"\d\s?(?:[a-z]{1,3}\.?)?\s\Z", words_before(found)) else None


def _verse(found: re.Match[str]) -> str:
    """ "John 3:16-18", "1 Corinthians 13:4"."""
    number, book, short, chapter, verse, last = found.groups()
    nth = f"{ordinal(number)} " if number else ""
    until = f" to {cardinal(last)}" if last else ""
    return f"{nth}{SHORT_BOOKS[short] if short else book.lower()} {cardinal(chapter)} {cardinal(verse)}{until}"


def _chapter(found: re.Match[str]) -> str:
    """ "1 Cor. 13", "Isa. 53"."""
    number, book, chapter, other_book, other_chapter = found.groups()
    if number:
        return f"{ordinal(number)} {SHORT_BOOKS[book]} {cardinal(chapter)}"
    return f"{SHORT_BOOKS[other_book]} {cardinal(other_chapter)}"


_VERSES = r"(\d{1,3}):(\d{1,3})(?:[-–](\d{1,3}))?"
SCRIPTURE: list[Rule] = [
    rule(rf"(?:([123])\s)?(?:({any_of(_BOOKS)})|({any_of(SHORT_BOOKS)})\.?)\s{_VERSES}{END}", _verse),
    rule(
        rf"([123])\s({any_of(_NUMBERED_SHORT)})\.?\s(\d{{1,3}}){END}|({any_of(_NO_NAMES)})\.\s(\d{{1,3}}){END}",
        _chapter,
    ),
]
RULES: list[Rule] = [
    rule(rf"([IVX]+)(?:th)?[\s-](century|centuries){END}", _roman_century),
    rule(rf"({any_of((*_HEADS, *map(str.upper, _HEADS)))})\s([IVXLivx]+)('s)?{END_OR_HYPHEN}", _headed),
    rule(rf"(?:({any_of(_TITLES)})\s)?((?:[A-Z][a-z]+\s)?(?:{any_of(_REGNAL)}))\s{_NUMERAL}('s)?(?=\W|\Z)", _regnal),
    rule(r"x(?=\s\d)", _by),
    rule(r"(?:(?<=[Tt]ype )|(?<=[Tt]ypes )|(?<=[Ss]chedule ))[IVX]{1,4}(?!')(?!\w)", _typed),
    rule(r"(?:(?<=[IVX] and )|(?<=[IVX] or ))[IVX]{2,4}(?!['\w])", _second_of_type),
    rule(rf"(I{{1,3}})\s({any_of(_NUMBERED_BOOKS)}|(?:{any_of(_NUMBERED_NAMES)})(?=\s\d))(?!\w)", _numbered_book),
    rule(r"[ivx]+(?![\w'-]|\.\w)", _small_numeral),
    rule(r"I(?=\s?[.,;:)(?!]|'s|\sof\s)", _lone_i),
    rule(r"([IVXLCDM]+)(?!\w|\.\w)", _lone_numeral),
]
WORDS = frozenset(
    (*_BOOKS, *SHORT_BOOKS, *(head.split()[0] for head in (*_HEADS, *map(str.upper, _HEADS))), *_REGNAL, *_TITLES)
)
"""First words of the rules that match without a full stop."""
STOPPED = frozenset(book.lower() for book in SHORT_BOOKS)
"""Lower-case words after which a full stop may mark an abbreviation."""
