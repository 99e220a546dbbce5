"""Measures synthetic speech: synthesises held-out texts and recognises the codes with the tokenizer's recogniser.

The word error rate (WER) on the recorded codes of the same utterances is reported beside it: these errors are the
recogniser's own. Texts without an accepted sample are failures: `wer_with_failures` counts them as
recognised empty. A model with speaker tokens synthesises each text in the voice of its recording, and rates are
reported per speaker too. Limitation: only codes are measured, not the speech decoder.
"""

from __future__ import annotations

import logging
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from megatron_speech.artifacts.facts.record import ABSENT
from megatron_speech.artifacts.facts.text_to_token import ComparisonFacts, RoundTripFacts, RoundTripRow
from megatron_speech.artifacts.manifest import is_made, make_artifact
from megatron_speech.artifacts.plain_json import to_json
from megatron_speech.config.stages.text_to_token import Language, RoundTripConfig
from megatron_speech.data.shards.document import TokenDocument
from megatron_speech.data.shards.utterances import read_utterances
from megatron_speech.inference.model import read_vocabulary
from megatron_speech.metrics.word_errors import error_rates
from megatron_speech.speech_tokenizer.interface import CodeRecognizer
from megatron_speech.speech_tokenizer.table import load_recognizer
from megatron_speech.text_normalization.pieces import Unreadable
from megatron_speech.text_normalization.spoken import read_as_written
from megatron_speech.text_to_token.synthesize import Synthesizer
from megatron_speech.text_tokenizer.tokenizer import TextTokenizer

logger = logging.getLogger(__name__)


def round_trip(config: RoundTripConfig) -> None:
    """Make the artifact `config.output`: error rates in the manifest, one line per text in samples.jsonl.

    Raises ValueError if no utterance passes the filters, EngineError if the synthesis engine fails.
    """
    inputs = [config.model, config.speech_tokenizer, config.codes]
    inputs += [config.text_vocabulary] if config.text_vocabulary else []
    if is_made(config.output, kind="round_trip", config=config, inputs=inputs):
        logger.info("%s: already done", config.output)
        return
    # Held-out utterances: their texts and recorded codes.
    vocabulary = read_vocabulary(config.model)
    counts: Counter[str] = Counter()
    utterances = list(read_utterances([config.codes], config.utterances, vocabulary=vocabulary, counts=counts))
    if not utterances:
        raise ValueError(f"codes={config.codes}: no utterance passes the filters; widen `utterances`")
    synthesizer = Synthesizer.load(config.model, config.synthesis, language=config.language)
    texts = [str(utterance.meta["text"]) for utterance in utterances]
    true = [utterance.tokens for utterance in utterances]
    with make_artifact(config.output, kind="round_trip", config=config, inputs=inputs) as draft:
        # Synthesise every text, and recognise both the recorded and the synthetic codes.
        made = synthesize_as_spoken(synthesizer, utterances, config.seed)
        recognizer = load_recognizer(config.speech_tokenizer)
        heard_true = recognizer.recognize(true)
        heard = _recognize(recognizer, made)
        # Facts of the manifest.
        text = TextTokenizer.load(config.text_vocabulary) if config.text_vocabulary else None
        facts = draft.facts = RoundTripFacts(
            **vars(compare(texts, true=true, made=made, heard_true=heard_true, heard=heard)),
            synthesis=dict(synthesizer.counts),
            speakers=(
                by_speaker(utterances, made=made, heard_true=heard_true, heard=heard) if vocabulary.speakers else None
            ),
            speech_tokens_per_text_token=_expansion(text, texts, made) if text else ABSENT,
        )
        # One line per text.
        with (draft.folder / "samples.jsonl").open("w") as file:
            for utterance, codes, truth, guess in zip(utterances, made, heard_true, heard, strict=True):
                row = RoundTripRow(
                    id=utterance.key,
                    voice=utterance.meta.get("voice"),
                    text=utterance.meta["text"],
                    heard_true_codes=truth,
                    heard_synthesised=guess,
                    num_true_codes=len(utterance.tokens),
                    codes=None if codes is None else tuple(codes.tolist()),
                )
                file.write(to_json(row.to_json(), ensure_ascii=False) + "\n")
    logger.info("%s: %s", config.output, in_words(facts))


def in_words(facts: ComparisonFacts) -> str:
    """Summarise the facts of a round trip in one line."""
    true, texts, failures = f"{facts.wer_true_codes:.1%}", facts.texts, facts.failures
    if facts.wer is None:
        return f"none of {texts} texts was synthesised; WER of recorded codes {true}"
    read = f"WER {facts.wer:.1%} on {texts - failures} synthesised texts, {true} on recorded codes"
    failed = f"; {failures} more texts failed, WER {facts.wer_with_failures:.1%} with them"
    return read + failed if failures else read


def synthesize_as_spoken(
    synthesizer: Synthesizer, utterances: Sequence[TokenDocument], seed: int
) -> list[np.ndarray | None]:
    """Synthesise the text of every utterance, in its voice if the vocabulary has speakers.

    Returns codes int32 [T] in order, None for texts without an accepted sample.
    """
    readings = [_reading(str(each.meta["text"]), synthesizer.language) for each in utterances]
    made: list[np.ndarray | None] = [None] * len(utterances)
    for voice in dict.fromkeys(_voices(utterances) if synthesizer.vocabulary.speakers else [None]):
        numbers = [n for n, each in enumerate(utterances) if voice in (None, str(each.meta.get("voice")))]
        settings = replace(synthesizer.settings, speakers=[voice] if voice else [])
        one = replace(synthesizer, settings=settings)  # shares its counts
        said, keys = zip(*((readings[n], utterances[n].key) for n in numbers), strict=True)
        about = f"round_trip: speak as {voice}" if voice else "round_trip: speak"
        for n, codes in zip(numbers, one.synthesize(said, seed, keys=keys, progress=about), strict=True):
            made[n] = codes
    return made


def _reading(text: str, language: Language) -> str:
    """Reading of `text`; empty if it is uncertain, so that nothing is synthesised."""
    try:
        return read_as_written(text, language=language)
    except Unreadable as error:
        logger.warning("text not synthesised: %s", error)
        return ""


def by_speaker(
    utterances: Sequence[TokenDocument],
    *,
    made: Sequence[np.ndarray | None],
    heard_true: Sequence[str],
    heard: Sequence[str | None],
) -> dict[str, ComparisonFacts]:
    """Facts of `compare` for each speaker."""
    voices = _voices(utterances)
    facts = {}
    for voice in dict.fromkeys(voices):
        numbers = [n for n, name in enumerate(voices) if name == voice]
        facts[voice] = compare(
            [str(utterances[n].meta["text"]) for n in numbers],
            true=[utterances[n].tokens for n in numbers],
            made=[made[n] for n in numbers],
            heard_true=[heard_true[n] for n in numbers],
            heard=[heard[n] for n in numbers],
        )
    return facts


def _voices(utterances: Sequence[TokenDocument]) -> list[str]:
    return [str(utterance.meta.get("voice")) for utterance in utterances]


def compare(
    texts: Sequence[str],
    *,
    true: Sequence[np.ndarray],
    made: Sequence[np.ndarray | None],
    heard_true: Sequence[str],
    heard: Sequence[str | None],
) -> ComparisonFacts:
    """Facts of a round trip; rates are fractions. `wer` and `cer` are None if every text failed.

    Args:
        texts: reference texts.
        true: codes of the recordings, int32 [T] each.
        made: synthetic codes, None for failures.
        heard_true: recognised texts of `true`.
        heard: recognised texts of `made`, None for failures.
    """
    kept = [number for number, codes in enumerate(made) if codes is not None]
    reference = error_rates(texts, heard_true)
    ours = error_rates([texts[n] for n in kept], [heard[n] or "" for n in kept]) if kept else {"wer": None, "cer": None}
    ratios = [len(codes) / len(true[n]) for n, codes in enumerate(made) if codes is not None]
    return ComparisonFacts(
        texts=len(texts),
        failures=len(texts) - len(kept),
        wer_true_codes=reference["wer"],
        cer_true_codes=reference["cer"],
        wer_with_failures=error_rates(texts, [words or "" for words in heard])["wer"],
        wer=ours["wer"],
        cer=ours["cer"],
        length_ratio_median=statistics.median(ratios) if ratios else None,
        speech_tokens=sum(len(codes) for codes in made if codes is not None),
        speech_tokens_true=sum(len(true[n]) for n in kept),
    )


def _recognize(recognizer: CodeRecognizer, made: Sequence[np.ndarray | None]) -> list[str | None]:
    """Recognise the codes in `made`; None stays None."""
    heard = iter(recognizer.recognize([codes for codes in made if codes is not None]))
    return [None if codes is None else next(heard) for codes in made]


def _expansion(tokenizer: TextTokenizer, texts: Sequence[str], made: Sequence[np.ndarray | None]) -> float | None:
    """Speech tokens per text token over the synthesised texts (3.81 in the paper's data)."""
    pairs = [
        (len(tokenizer.encode(text)), len(codes)) for text, codes in zip(texts, made, strict=True) if codes is not None
    ]
    return sum(speech for _, speech in pairs) / sum(text for text, _ in pairs) if pairs else None
