"""Every benchmark runs and ends with one JSON line; results are not judged, because other work shares the cores."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = {
    "compose.py": ["--short"],
    "contamination.py": ["--short"],
    "evaluate.py": ["--short"],
    "evaluation_cost.py": ["--short"],
    "hf_export.py": ["--short"],
    "pack.py": ["--short"],
    "plan_build.py": ["--short"],
    "plan_search.py": ["--short"],
    "planner_accuracy.py": [],
    "ratio.py": ["--short"],
    "sample_build.py": ["--short"],
    "shard_read.py": ["--short"],
    "spans.py": ["--short"],
    "speech_tokenize.py": ["--short"],
    "step_overhead.py": ["--short"],
    "stream_read.py": ["--short"],
    "synthesis.py": ["--short"],
    "tokenize_text.py": ["--short"],
}
FOLDER = Path(__file__).parent / "benchmarks"


@pytest.mark.parametrize("name", BENCHMARKS)
def test_benchmark_prints_its_result(name: str) -> None:
    command = [sys.executable, str(FOLDER / name), *BENCHMARKS[name]]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    result = json.loads(done.stdout.splitlines()[-1])
    assert {"name", "ratio", "limit"} <= result.keys()
    assert result["better"] in ("higher", "lower")
