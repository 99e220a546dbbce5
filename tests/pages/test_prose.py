"""The front page is short, sentences are short, and nothing is named that does not exist."""

from __future__ import annotations

import re

import pytest

from tests.pages.page import FOLDERS, PAGES, ROOT, Page, words

LONGEST = 30
"""Words of a sentence."""
PLACES = (".py", ".sh", ".sbatch", ".toml", ".yaml", ".md", "/")


def test_the_front_page_has_at_most_900_words() -> None:
    assert len((ROOT / "README.md").read_text().split()) <= 900


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_no_sentence_is_long(page: Page) -> None:
    found = list(page.sentences())
    assert len(found) > 3
    assert [sentence for sentence in found if len(words(sentence)) > LONGEST] == []


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_file_that_a_page_names_exists(page: Page) -> None:
    roots = [ROOT, page.path.parent, ROOT / "megatron_speech"]
    ours = {path.name for path in [*(ROOT / "megatron_speech").iterdir(), *(ROOT / folder for folder in FOLDERS)]}
    named = [code for code in page.code if re.fullmatch(r"[\w.-]+/[\w./-]*", code) and code.endswith(PLACES)]
    assert [
        code for code in named if code.split("/")[0] in ours and not any((root / code).exists() for root in roots)
    ] == []
