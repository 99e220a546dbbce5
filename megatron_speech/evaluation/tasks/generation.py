"""What evaluation tasks share that let a model write or speak: prompts, ids that may come, and the answers.

Answers do not depend on each other. The random numbers of an answer follow from its item. So neither the order of items
nor the number of answers at a time changes it, up to the rounding of matrix products (`inference.engine`).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from megatron_speech.evaluation.scripts import ScriptLanguage, ids_of_language, in_other_script
from megatron_speech.evaluation.tasks.interface import Prompt, Scorer, Written
from megatron_speech.inference.engine import GenerationEngine, answer_each
from megatron_speech.inference.model import LanguageModel
from megatron_speech.inference.sampling import IdSet, Sampling, allowed_ids
from megatron_speech.inference.slot import AnswerSettings
from megatron_speech.progress import follow
from megatron_speech.randomness import blake2b_number
from megatron_speech.vocabulary import BEGIN_OF_AUDIO, END_OF_AUDIO

TOO_LONG = Written(tokens=(), reason="too long")
"""Answer to a prompt that does not fit into the positions of the model with its answer."""
OTHER_SCRIPT, NO_ANSWER = "other script", "no answer"
"""Reasons of wrong answers, besides those of recordings and of `TOO_LONG`."""


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
    return AnswerSettings(
        max_new_tokens=max_new_tokens,
        stop=[model.vocabulary.end_of_document],
        sampling=Sampling(temperature=0.0),
        allowed=IdSet.of(_text_ids(model, language)),
    )


def speech_settings(model: Scorer, *, max_new_tokens: int, sampling: Sampling) -> AnswerSettings:
    """Sampled speech until its end; each prompt needs a seed of its own (`seed_of`)."""
    return AnswerSettings(
        max_new_tokens=max_new_tokens,
        stop=[model.vocabulary.special_id(END_OF_AUDIO)],
        sampling=sampling,
        allowed=IdSet.of(allowed_ids(model.vocabulary, "speech")),
    )


def thoughts_settings(
    model: Scorer, *, max_new_tokens: int, sampling: Sampling, language: ScriptLanguage | None = None
) -> AnswerSettings:
    """Sampled text and speech in turns until the document ends; see `text_settings` and `speech_settings`.

    The model alternates as it was trained to. Nothing forces it, so that its answers tell whether it does.
    """
    vocabulary = model.vocabulary
    allowed = _text_ids(model, language) | allowed_ids(vocabulary, "speech")
    allowed[vocabulary.special_id(BEGIN_OF_AUDIO)] = True
    return AnswerSettings(
        max_new_tokens=max_new_tokens,
        stop=[vocabulary.end_of_document],
        sampling=sampling,
        allowed=IdSet.of(allowed),
    )


def _text_ids(model: Scorer, language: ScriptLanguage | None) -> Tensor:
    """Mask of the ids of a written answer and of its end, bool [V]."""
    if language is None:
        return allowed_ids(model.vocabulary, "text")
    return torch.from_numpy(ids_of_language(model.tokenizer, model.vocabulary, language))


def reason_of(answer: Written, text: str, language: ScriptLanguage) -> str | None:
    """Why an answer, read as `text`, is wrong whatever it says; None if its words decide."""
    if answer == TOO_LONG:
        return answer.reason
    if not text:
        return NO_ANSWER
    return OTHER_SCRIPT if in_other_script(text, language) else None


def seed_of(seed: int, *names: str) -> int:
    """Seed of the answer to the item that `names` tell from all others."""
    return blake2b_number("\0".join([str(seed), *names]))


def text_decoding(max_tokens: int) -> str:
    """How text is generated, for a protocol."""
    return f"text: greedy, at most {max_tokens} tokens"


def speech_decoding(max_tokens: int, sampling: Sampling, *, seed: int) -> str:
    """How speech is generated, for a protocol."""
    return f"speech: {_sampled(max_tokens, sampling, seed)}"


def thoughts_decoding(max_tokens: int, sampling: Sampling, *, seed: int) -> str:
    """How text and speech are generated in turns, for a protocol."""
    return f"thoughts: {_sampled(max_tokens, sampling, seed)}"


def _sampled(max_tokens: int, sampling: Sampling, seed: int) -> str:
    nucleus = f"temperature {sampling.temperature:g}, top_p {sampling.top_p:g}"
    return f"{nucleus}, at most {max_tokens} tokens, seed {seed}"
