"""Settings that divide the work of a tool over processes and jobs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class SpreadConfig:
    """How the work of an offline tool is divided over processes and jobs; does not affect the shards."""

    workers: int = 1
    """Processes on this machine. Each runs one task at a time with its share of the cores."""
    part: Literal["all", "count", "tasks", "finish"] = "all"
    """'all' does everything. Array jobs use the others: 'count' prints the number of tasks, 'tasks' runs this job's
    share, 'finish' joins the parts of all jobs (see slurm/tokenize_text.sbatch)."""
    job: int = 0
    """Index of this job, from 0 to jobs - 1."""
    jobs: int = 1
    """Number of jobs that divide the tasks."""

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise ValueError(f"run.workers={self.workers} must be at least 1; 1 uses all cores by threads")
        if not 0 <= self.job < self.jobs:
            raise ValueError(f"run.job={self.job} must lie in 0..run.jobs - 1={self.jobs - 1}; give the array's index")
