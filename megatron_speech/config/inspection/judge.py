"""Settings of the judging of answers by language models."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from megatron_speech.config.inspection.compare_evaluations import require_entries
from megatron_speech.config.parsing.bounds import MAX_SEED, require_bounds
from megatron_speech.config.parsing.inputs import EvaluationFolder

OWN_FIELDS = ("model", "messages", "temperature", "n", "stream")
"""Fields of a request that are no options: settings have them, or the command itself."""


@dataclass(frozen=True, kw_only=True)
class EndpointConfig:
    """A language model behind an OpenAI-compatible address."""

    base_url: str
    """Address without /chat/completions, such as https://api.openai.com/v1 or http://localhost:8000/v1."""
    model: str
    """Name of the model at that address."""
    key_variable: str | None = None
    """Environment variable that holds the key, by name; null sends no key. The key itself belongs in no file."""
    options: dict[str, Any] = field(default_factory=dict)
    """Further fields of every request, such as {max_tokens: 500}."""

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", self.key_variable or "none"):
            raise ValueError(
                "key_variable must be the name of an environment variable, such as JUDGE_KEY; never write a key here"
            )
        if "@" in self.base_url or urlsplit(self.base_url).query:
            raise ValueError("base_url must hold no key and no password; name the variable in key_variable")
        if not re.match(r"https?://[^/]", self.base_url):
            raise ValueError(f"base_url={self.base_url} must begin with http:// or https:// and a host; correct it")
        if own := [name for name in self.options if name in OWN_FIELDS]:
            raise ValueError(f"options.{own[0]}: the command sets this field; leave it out")


@dataclass(frozen=True, kw_only=True)
class JudgeConfig:
    """Let language models judge the answers of a finished evaluation."""

    evaluation: EvaluationFolder
    """Folder of `evaluate` with the task `questions`."""
    output: Path
    """Folder for evaluation.json and items.jsonl, with the judge's credits."""
    judges: dict[str, EndpointConfig]
    """Language models that judge, by a name of your own. The first decides; others show how far they agree."""
    prompt: str = "right_answer"
    """Prompt: right_answer, rating, better_answer, or a YAML file of your own."""
    against: EvaluationFolder | None = None
    """For better_answer: another evaluation, whose answers are compared with those of `evaluation`."""
    accept: list[str] = field(default_factory=list)
    """Entries of the protocol in which `evaluation` and `against` may differ, such as code."""
    n: int = 1
    """Replies to each request; their verdicts are averaged."""
    temperature: float | None = 0.0
    """Temperature of the replies; null leaves it to the model."""
    cache: Path = Path(".cache/judge")
    """Folder that keeps every reply; a request that it knows is not sent again."""
    at_once: int = 4
    """Requests that wait for their reply at a time."""
    attempts: int = 8
    """Times to send a request before the command gives up, with growing pauses."""
    timeout_s: float = 120.0
    """Longest wait for a reply, in seconds."""
    resamples: int = 2000
    """Bootstrap resamples for every 95 % interval."""
    seed: int = 0
    """Seed of the bootstrap."""

    def __post_init__(self) -> None:
        if not self.judges:
            raise ValueError("judges: none is given; name at least one, with base_url and model")
        for name, value, most in (("n", self.n, 100), ("at_once", self.at_once, 256), ("attempts", self.attempts, 100)):
            require_bounds(name, value, 1, most, "see --help for the usual number")
        require_bounds("temperature", self.temperature, 0.0, 2.0, "0 is the most likely reply")
        require_bounds("timeout_s", self.timeout_s, 0.1, 86_400.0, "120 is usual")
        require_bounds("seed", self.seed, 0, MAX_SEED, "0 is the default")
        if self.resamples < 100:
            raise ValueError(f"resamples={self.resamples} must be at least 100 for a 95 % interval; 2000 is usual")
        require_entries(self.accept)
