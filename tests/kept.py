"""Reads kept manifests of every kind, which toy runs of the tools wrote."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

MANIFESTS = Path(__file__).parent / "unit" / "artifacts" / "facts" / "manifests"


def kept_facts(name: str, **changes: Any) -> dict[str, Any]:
    """Facts of the kept manifest called `name`, with other values for some of its keys."""
    facts = json.loads((MANIFESTS / f"{name}.json").read_text())["facts"]
    return {**facts, **changes}


def kept_record(name: str, **changes: Any) -> dict[str, Any]:
    """The kept record called `name`, with other values for some of its keys."""
    line: dict[str, Any] = json.loads((MANIFESTS.parent / "records" / f"{name}.json").read_text())
    return {**line, **changes}
