"""The files that code hosts and reference managers read: citation and changes are of this version."""

from __future__ import annotations

import re

import yaml

from megatron_speech import __version__
from tests.pages.page import ROOT


def test_the_citation_names_this_version_and_the_paper() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["cff-version"] == "1.2.0" and citation["version"] == __version__ and citation["message"]
    assert citation["title"].startswith("megatron_speech") and citation["license"] == "Apache-2.0"
    (paper,) = citation["references"]
    assert paper["url"].endswith("2411.17607") and all(set(author) == {"name"} for author in citation["authors"])


def test_the_newest_changes_are_of_this_version() -> None:
    releases = re.findall(r"^## (\d+\.\d+\.\d+)", (ROOT / "CHANGES.md").read_text(), re.MULTILINE)
    assert releases[0] == __version__ and len(set(releases)) == len(releases)
