"""What evaluation tasks share that let a model write or speak: prompts, ids that may come, and the answers.

Answers do not depend on each other. The random numbers of an answer follow from its item, so neither the order of items
nor the number of answers at a time changes it, up to the rounding of matrix products (`inference.engine`).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from megatron_speech.evaluation.scripts import ScriptLanguage, ids_of_language
from megatron_speech.evaluation.tasks.interface import Prompt, Scorer, Written
from megatron_speech.inference.engine import GenerationEngine, answer_each
from megatron_speech.inference.model import LanguageModel
from megatron_speech.inference.sampling import IdSet, Sampling, allowed_ids
from megatron_speech.inference.slot import AnswerSettings
from megatron_speech.progress import follow
from megatron_speech.randomness import blake2b_number
from megatron_speech.vocabulary import END_OF_AUDIO

TOO_LONG = Written(tokens=(), reason="too long")
"""Answer to a prompt that does not fit into the positions of the model with its answer."""


def write_answers(
    model: LanguageModel, prompts: Sequence[Prompt], *, batch_size: int, progress: str | None = None
) -> list[Written]:
    """Answers to all prompts, in order; `batch_size` are written at a time. `progress` is shown, None shows nothing."""
    sizes = [len(ids) + settings.max_new_tokens for ids, settings in prompts]
    fitting = [number for number, size in enumerate(sizes) if size <= model.max_positions]
    written = [TOO_LONG] * len(prompts)
    if fitting:
        slots, longest = min(batch_size, len(fitting)), max(sizes[number] for number in fitting)
        engine = GenerationEngine(model, slots=slots, max_context=longest)
        answers = answer_each(engine, (prompts[number] for number in fitting))
        shown = answers if progress is None else follow(answers, progress, unit="answers", total=len(fitting))
        for place, answer in shown:
            assert answer.reason is not None, "an answer that is given has ended"
            written[fitting[place]] = Written(tokens=tuple(answer.tokens), reason=answer.reason)
    return written


def text_settings(model: Scorer, *, max_new_tokens: int, language: ScriptLanguage | None = None) -> AnswerSettings:
    """Greedy text until the document ends; with `language`, in tokens of its script only."""
    vocabulary = model.vocabulary
    if language is None:
        allowed = allowed_ids(vocabulary, "text")
    else:
        allowed = torch.from_numpy(ids_of_language(model.tokenizer, vocabulary, language))
    return AnswerSettings(
        max_new_tokens=max_new_tokens,
        stop=[vocabulary.end_of_document],
        sampling=Sampling(temperature=0.0),
        allowed=IdSet.of(allowed),
    )


def speech_settings(model: Scorer, *, max_new_tokens: int, sampling: Sampling) -> AnswerSettings:
    """Sampled speech until its end; each prompt needs a seed of its own (`seed_of`)."""
    return AnswerSettings(
        max_new_tokens=max_new_tokens,
        stop=[model.vocabulary.special_id(END_OF_AUDIO)],
        sampling=sampling,
        allowed=IdSet.of(allowed_ids(model.vocabulary, "speech")),
    )


def seed_of(seed: int, *names: str) -> int:
    """Seed of the answer to the item that `names` tell from all others."""
    return blake2b_number("\0".join([str(seed), *names]))


def text_decoding(max_tokens: int) -> str:
    """How text is generated, for a protocol."""
    return f"text: greedy, at most {max_tokens} tokens"


def speech_decoding(max_tokens: int, sampling: Sampling, *, seed: int) -> str:
    """How speech is generated, for a protocol."""
    nucleus = f"temperature {sampling.temperature:g}, top_p {sampling.top_p:g}"
    return f"speech: {nucleus}, at most {max_tokens} tokens, seed {seed}"


def require_positive(key: str, **values: int | None) -> None:
    """Raise ValueError for a setting of the task `key` that is below 1; None passes."""
    for name, value in values.items():
        if value is not None and value < 1:
            raise ValueError(f"{key}.{name}={value} must be at least 1; use a positive number")


def require_sampling(key: str, *, temperature: float, top_p: float) -> None:
    """Raise ValueError for settings of the task `key` by which nothing can be sampled."""
    if temperature < 0:
        raise ValueError(f"{key}.temperature={temperature} must not be negative; 0 is greedy")
    if not 0 < top_p <= 1:
        raise ValueError(f"{key}.top_p={top_p} must lie in (0, 1]; 1 keeps every token")
