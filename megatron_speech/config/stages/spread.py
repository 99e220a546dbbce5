"""Settings of how the work of a tool is spread over processes and jobs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class SpreadConfig:
    """How the work of a tokenizing tool is spread. Nothing here changes the shards."""

    workers: int = 1
    """Processes on this machine; each works on one task at a time with its share of the cores."""
    part: Literal["all", "count", "tasks", "finish"] = "all"
    """'all' does everything; for array jobs: 'count' prints the number of tasks, 'tasks' does this job's share of them,
    'finish' joins what the jobs made (slurm/tokenize_text.sbatch and the like)."""
    job: int = 0
    """Number of this job among `jobs`, from 0."""
    jobs: int = 1
    """Jobs that share the tasks."""

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise ValueError(f"run.workers={self.workers} must be at least 1; 1 uses all cores by threads")
        if not 0 <= self.job < self.jobs:
            raise ValueError(f"run.job={self.job} must lie in 0..run.jobs - 1={self.jobs - 1}; give the array's index")
