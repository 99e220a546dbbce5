"""The protocol of an evaluation task: all that its scores depend on besides the model, with an id.

Two evaluations may be compared if their protocols are equal: the same data, layout of questions, score and code. The
file protocol.json of an evaluation holds one protocol per task:

    {"cloze": {"id": "5f2c...", "chance": {...}, "template": "...", "score": "...", "data": {...}, "code": "..."}}
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from megatron_speech.artifacts.files import fingerprint, fingerprint_files
from megatron_speech.artifacts.manifest import MANIFEST, input_ids, read_manifest
from megatron_speech.artifacts.plain_json import first_difference
from megatron_speech.evaluation.tasks.interface import ScoringProtocol

FILE = "protocol.json"
SCORING = (
    *("megatron_speech.evaluation.normalizers", "megatron_speech.evaluation.scripts"),
    *("megatron_speech.evaluation.tasks", "megatron_speech.metrics", "megatron_speech.sequences"),
)
"""Rooms and modules that decide how questions are laid out and answers scored."""
INTERVALS = ("megatron_speech.metrics.bootstrap", "megatron_speech.metrics.intervals")
"""Modules among them that only tell how certain a score is; comparisons compute it anew."""
ID = "id"


def protocol_record(protocol: ScoringProtocol, *, inputs: Sequence[Path], dtype: str, task: type) -> dict[str, Any]:
    """An entry of protocol.json, with checksums of the data and the code, and the id of all."""
    own = inspect.getmodule(task)
    assert own is not None, f"{task} has no module"
    record = {
        **protocol.to_json(),
        "chance": dict(protocol.chance),
        "dtype": dtype,
        "data": _data_checksums(path for path in inputs if path.is_file() or (path / MANIFEST).is_file()),
        "code": code_version(scoring_modules(own)),
    }
    return {ID: protocol_id(record), **record}


def protocol_id(record: dict[str, Any]) -> str:
    """Hash of all entries but the id itself."""
    return fingerprint([(key, repr(record[key])) for key in sorted(record) if key != ID])


def differences(first: dict[str, Any], second: dict[str, Any], *, accept: Iterable[str] = ()) -> dict[str, str]:
    """What differs between two entries of protocol.json, by key, as ``old -> new``; without the keys in `accept`."""
    keys = [key for key in {**first, **second} if key != ID and key not in {*accept}]
    return {
        key: first_difference({key: first.get(key)}, {key: second.get(key)})
        for key in keys
        if first.get(key) != second.get(key)
    }


def _data_checksums(paths: Iterable[Path]) -> dict[str, str]:
    """Checksums by the last part of each path; of several paths with one last part, in their order."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for path in dict.fromkeys(paths):
        found[path.name].append(data_checksum(path))
    return {name: ", ".join(checksums) for name, checksums in found.items()}


def data_checksum(path: Path) -> str:
    """Checksum of a file, or of what an artifact holds, wherever it lies and however it was made."""
    if path.is_file():
        return fingerprint_files([path])
    facts = read_manifest(path).facts
    return str(facts["checksum"]) if "checksum" in facts else input_ids([path])[str(path)]


def scoring_modules(task: ModuleType) -> list[ModuleType]:
    """The module of a task and all of `SCORING` that it imports, directly or not, by name."""
    found, waiting = {task.__name__: task}, [task]
    while waiting:
        for name in _imported(waiting.pop()):
            if name in sys.modules and name not in found:
                found[name] = sys.modules[name]
                waiting.append(found[name])
    return [found[name] for name in sorted(found)]


def _imported(module: ModuleType) -> Iterator[str]:
    """Names of what a module imports of `SCORING`; some are no modules."""
    for node in ast.walk(ast.parse(inspect.getsource(module))):
        if isinstance(node, ast.ImportFrom) and node.module:
            for name in (node.module, *(f"{node.module}.{each.name}" for each in node.names)):
                if name not in INTERVALS and any(f"{name}.".startswith(f"{room}.") for room in SCORING):
                    yield name


def code_version(modules: Sequence[ModuleType]) -> str:
    """Hash of the modules' source, without comments and docstrings."""
    return fingerprint([(module.__name__, hashlib.sha256(_code(module).encode()).hexdigest()) for module in modules])


def _code(module: ModuleType) -> str:
    tree = ast.parse(inspect.getsource(module))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            texts = (each for each in node.body if isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant))
            for text in texts:
                text.value = ast.Constant(None)
    return ast.dump(tree)
