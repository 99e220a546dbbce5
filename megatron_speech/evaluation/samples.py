"""Generates samples of an exported model from held-out utterances.

Each utterance gives three prompts, laid out as in training:

    continuation   <|begin_of_audio|> codes <|end_of_audio|>                -> text
    recognition    <|recognize|> <|begin_of_audio|> codes <|end_of_audio|>  -> text
    synthesis      <|synthesize|> text <|begin_of_audio|>                   -> codes

Sampling is limited to ids of the modality on the right.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from megatron_speech.artifacts.facts.evaluation import SampleFacts, SamplesFacts, WrittenSample
from megatron_speech.artifacts.files import read_json
from megatron_speech.artifacts.manifest import is_made, make_artifact
from megatron_speech.artifacts.plain_json import to_json
from megatron_speech.config.parsing.plain import to_dict
from megatron_speech.config.stages.generate import GenerateConfig, SamplesConfig
from megatron_speech.data.shards.document import TokenDocument
from megatron_speech.data.shards.documents import write_documents
from megatron_speech.data.shards.utterances import read_utterances
from megatron_speech.inference.generate import Generation, Request, generate_tokens, in_order
from megatron_speech.inference.model import LanguageModel, loaded_model, read_vocabulary
from megatron_speech.inference.sampling import Sampling, allowed_ids
from megatron_speech.sequences.speech_tasks import continuation_prompt, recognition_prompt, speech_ids, synthesis_prompt
from megatron_speech.vocabulary import END_OF_AUDIO, Modality, Vocabulary

logger = logging.getLogger(__name__)


def generate(config: GenerateConfig) -> Path:
    """Make `config.output` and return it: samples.json, and generated codes as shards, which `decode_speech` reads.

    Raises ValueError if no utterance passes the filters.
    """
    if config.codes is None or config.output is None:
        raise ValueError("codes and output are missing; a batch of samples is made from one into the other")
    inputs = [config.model, config.codes, *([config.speech_tokenizer] if config.speech_tokenizer else [])]
    identity = identity_of(config)
    if is_made(config.output, kind="samples", config=identity, inputs=inputs):
        logger.info("%s: already done", config.output)
        return config.output
    wanted, vocabulary = config.utterances, read_vocabulary(config.model)
    utterances = list(read_utterances([config.codes], wanted, vocabulary=vocabulary, counts=Counter()))
    if not utterances:
        raise ValueError(f"codes={config.codes}: no utterance passes the filters; widen `utterances`")
    model, _ = loaded_model(config.model, dtype=config.dtype, device=config.device)
    with make_artifact(config.output, kind="samples", config=identity, inputs=inputs) as draft:
        samples, spoken = _samples(model, utterances, config)
        if config.speech_tokenizer:
            from megatron_speech.speech_tokenizer.table import load_recognizer

            texts = load_recognizer(config.speech_tokenizer).recognize([each.tokens for each in spoken])
            heard = dict(zip([each.key for each in spoken], texts, strict=True))
            samples = [replace(sample, spoken_text_as_heard=heard.get(sample.id)) for sample in samples]
        if spoken:
            codes = Vocabulary.of_codes(vocabulary.num_speech_ids, vocabulary.speech_fingerprint)
            write_documents(draft.folder / "codes", spoken, vocabulary=codes, name="codes")
        (draft.folder / "samples.json").write_text(
            to_json([sample.to_json() for sample in samples], indent=1, ensure_ascii=False) + "\n"
        )
        draft.facts = SamplesFacts(
            samples=tuple(SampleFacts(**{**vars(sample), "codes": len(sample.codes)}) for sample in samples)
        )
    return config.output


def samples_in_words(folder: Path) -> Iterator[str]:
    """Lines for a person on the samples in `folder`, and where all of them are, codes too."""
    file = folder / "samples.json"
    for sample in map(WrittenSample.from_json, read_json(file)):
        yield f"{sample.id}: {sample.spoken}"
        yield f"  continuation: {sample.continuation}"
        yield f"  recognition: {sample.recognition}"
        ended = "ended by the model" if sample.speech_ended else "cut at the limit"
        yield f"  speech: {len(sample.codes)} codes, {ended}"
        if isinstance(sample.spoken_text_as_heard, str):
            yield f"  speech as heard: {sample.spoken_text_as_heard}"
    yield f"samples: {file}"


def identity_of(config: GenerateConfig) -> dict[str, Any]:
    """What the manifest says of `config`: the keys of samples, without those of answers."""
    given = to_dict(config)
    return {field.name: given[field.name] for field in fields(SamplesConfig)}


def _samples(
    model: LanguageModel, utterances: Sequence[TokenDocument], config: GenerateConfig
) -> tuple[list[WrittenSample], list[TokenDocument]]:
    """One record per utterance, and the generated codes as documents."""
    vocabulary = model.vocabulary
    # Prompts of the three kinds, and what the model generates for them.
    codes = [utterance.tokens for utterance in utterances]
    texts = [str(utterance.meta["text"]) for utterance in utterances]
    heard = [speech_ids(each, vocabulary=vocabulary).tolist() for each in codes]
    contexts = [continuation_prompt(ids, given="speech", asked="text", vocabulary=vocabulary) for ids in heard]
    continued = _write(model, contexts, "text", config, kind="continuation")
    recognised = _write(
        model,
        [recognition_prompt(each, vocabulary=vocabulary).tolist() for each in codes],
        "text",
        config,
        kind="recognition",
    )
    text_ids = [model.tokenizer.encode(text) for text in texts]
    spoken = _write(
        model,
        [synthesis_prompt(ids, vocabulary=vocabulary).tolist() for ids in text_ids],
        "speech",
        config,
        kind="synthesis",
    )
    # Records and documents.
    samples, documents = [], []
    for number, utterance in enumerate(utterances):
        said = np.array(spoken[number].tokens, dtype=np.int32) - vocabulary.first_speech_id
        samples.append(
            WrittenSample(
                id=utterance.key,
                spoken=texts[number],
                continuation=model.tokenizer.decode(continued[number].tokens),
                recognition=model.tokenizer.decode(recognised[number].tokens),
                codes=tuple(said.tolist()),
                speech_ended=spoken[number].stopped,
            )
        )
        if said.size:
            meta = {"text": texts[number], "source": "generated"}
            documents.append(TokenDocument(key=utterance.key, tokens=said.astype(np.int32), meta=meta))
    return samples, documents


def _write(
    model: LanguageModel, prompts: Sequence[Sequence[int]], modality: Modality, config: GenerateConfig, *, kind: str
) -> list[Generation]:
    """Continue prompts in one modality.

    Speech is sampled until the end of audio; text is decoded greedily until the end of the document.
    """
    vocabulary = model.vocabulary
    speech = modality == "speech"
    limit = config.max_speech_tokens if speech else config.max_text_tokens
    results = generate_tokens(
        model,
        [Request(prompt=ids, max_new_tokens=limit, seed=config.seed + n) for n, ids in enumerate(prompts)],
        sampling=Sampling(temperature=config.temperature if speech else 0.0, top_p=config.top_p),
        stop=[vocabulary.special_id(END_OF_AUDIO) if speech else vocabulary.end_of_document],
        allowed=allowed_ids(vocabulary, modality),
    )
    return in_order(results, len(prompts), progress=f"generate: {kind}")
