"""Probes whether a model's states of speech are those of the same words in writing, layer by layer.

A model reads every question in writing and aloud. Its state at the end of a question, from which the answer follows, is
taken after each layer, without the mean of all states of that layer and modality. A spoken question is found if, of all
written questions, its own has the nearest state (cosine). Nothing is trained, so nothing but the model aligns the two
modalities. Chance is one over the number of questions.

Shapes: L layers with the embedding, Q questions, R spoken readings, D width.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Sequence
from statistics import fmean

import torch
from torch import Tensor
from torch.nn.functional import normalize

from megatron_speech.artifacts.facts.estimate import EstimateFacts
from megatron_speech.artifacts.facts.probe import LayersProbeFacts
from megatron_speech.artifacts.manifest import is_made, make_artifact
from megatron_speech.artifacts.plain_json import to_json
from megatron_speech.config.inspection.probe_layers import ProbeLayersConfig
from megatron_speech.evaluation.tasks.geo_qa import read_questions
from megatron_speech.evaluation.tasks.likelihood import SpokenText, context_ids
from megatron_speech.inference.model import LanguageModel, read_vocabulary
from megatron_speech.metrics.intervals import mean_interval
from megatron_speech.platform.device import resolve_device
from megatron_speech.progress import Progress
from megatron_speech.vocabulary import Modality

logger = logging.getLogger(__name__)


def probe_layers(config: ProbeLayersConfig) -> None:
    """Make the artifact `config.output`: shares by layer in the manifest, found readings by layer in items.jsonl.

    Raises ValueError naming a defective file, or if no question was spoken.
    """
    inputs = [config.model, config.geo_qa.texts, config.geo_qa.codes]
    if is_made(config.output, kind="layers_probe", config=config, inputs=inputs):
        logger.info("%s: already done", config.output)
        return
    questions = read_questions(config.geo_qa, read_vocabulary(config.model))
    model = LanguageModel.load(config.model, device=resolve_device(config.device))
    spoken = [(number, reading) for number, question in enumerate(questions) for reading in question.readings]
    with make_artifact(config.output, kind="layers_probe", config=config, inputs=inputs) as draft:
        total = len(questions) + len(spoken)
        with Progress("probe_layers", unit="questions", total=total) as progress:
            states_LQD = _states(model, [question.written for question in questions], "text", progress)
            said = [questions[number].readings[reading] for number, reading in spoken]
            states_LRD = _states(model, said, "speech", progress)
        found_LR = _nearest(states_LRD, states_LQD) == torch.tensor([number for number, _ in spoken])
        draft.facts = LayersProbeFacts(questions=len(questions), layers=_shares(found_LR, spoken))
        with (draft.folder / "items.jsonl").open("w") as file:
            for column, (number, reading) in enumerate(spoken):
                found = found_LR[:, column].int().tolist()
                file.write(to_json({"item": questions[number].country, "reading": reading, "found": found}) + "\n")
    shares = ", ".join(f"{layer}: {share.value:.1%}" for layer, share in draft.facts.layers.items())
    logger.info("%s: questions found by layer, %s; chance %.1f%%", config.output, shares, 100 / len(questions))


@torch.inference_mode()
def _states(model: LanguageModel, texts: Sequence[SpokenText], given: Modality, progress: Progress) -> Tensor:
    """State at the end of each text, after each layer: float32 [L, number of texts, D]."""
    states = []
    for text in texts:
        ids = torch.tensor([context_ids(model, text, (given, "text"))], device=model.device)
        layers = model.network.get_decoder()(input_ids=ids, use_cache=False, output_hidden_states=True).hidden_states
        states.append(torch.stack([layer_BSD[0, -1].float().cpu() for layer_BSD in layers]))
        progress.add(1)
    return torch.stack(states, dim=1)


def _nearest(states_LRD: Tensor, others_LQD: Tensor) -> Tensor:
    """Number of the nearest of the other states, after each layer: int64 [L, R]."""
    centred = [normalize(each - each.mean(dim=1, keepdim=True), dim=-1) for each in (states_LRD, others_LQD)]
    return torch.einsum("lrd,lqd->lrq", *centred).argmax(dim=-1)


def _shares(found_LR: Tensor, spoken: Sequence[tuple[int, str]]) -> dict[str, EstimateFacts]:
    """Share of the questions that were found, by layer; the readings of a question are averaged first."""
    shares = {}
    for layer, found_R in enumerate(found_LR.float().tolist()):
        by_question: defaultdict[int, list[float]] = defaultdict(list)
        for (number, _), found in zip(spoken, found_R, strict=True):
            by_question[number].append(found)
        shares[str(layer)] = mean_interval([fmean(values) for values in by_question.values()]).rounded()
    return shares
