"""Every relative link of every page leads to a file, and every anchor to a heading."""

from __future__ import annotations

import pytest

from tests.pages.page import PAGES, ROOT, Page


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_links_and_anchors_lead_somewhere(page: Page) -> None:
    broken = []
    for link in page.links:
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = (page.path.parent / name).resolve() if name else page.path
        if not target.exists() or not target.is_relative_to(ROOT) or (anchor and anchor not in Page(target).anchors):
            broken.append(link)
    assert broken == []


def test_every_page_is_reached_from_the_front_page() -> None:
    seen, waiting = set(), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page not in seen:
            seen.add(page)
            targets = [
                (page.parent / link.partition("#")[0]).resolve() for link in Page(page).links if "://" not in link
            ]
            targets = [target / "README.md" if target.is_dir() else target for target in targets]
            waiting += [target for target in targets if target.suffix == ".md" and target.is_file()]
    assert {page.path for page in PAGES} <= seen
