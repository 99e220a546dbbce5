"""Measures how far a number format changes the gradients, especially those of the new speech rows.

The same weights and rows are used in float32 and in each format. Gradients of several passes are added up in float32,
as in training. Errors of a coarse format show first in the new rows: each learns from few tokens, and its gradient
passes through every layer's backward products. The results are the norm of the error over the norm of the gradient, and
the cosine between both gradients.

Cost: one rank holds the whole model in float32 and all its gradients.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from megatron_speech.artifacts.facts.checkpoint import GradientErrorFacts, TensorErrorFacts
from megatron_speech.artifacts.manifest import is_made, make_artifact
from megatron_speech.checkpoint import folder as folders
from megatron_speech.checkpoint.distributed.save_load import load_model
from megatron_speech.checkpoint.hf_export import find_checkpoint
from megatron_speech.config.reports.precision_report import GradientErrorConfig
from megatron_speech.config.run.model import ModelConfig
from megatron_speech.config.run.parallel import ParallelConfig, PrecisionConfig
from megatron_speech.data.plan.mixture import compile_plan
from megatron_speech.data.reading.batch import Batch, collate, to_device
from megatron_speech.data.reading.reader import Reader
from megatron_speech.model.builder import build_model
from megatron_speech.model.forward import forward
from megatron_speech.model.loss import training_loss
from megatron_speech.model.precision import resolve_precision
from megatron_speech.parallel import groups
from megatron_speech.parallel.layout import ParallelLayout
from megatron_speech.platform.device import device
from megatron_speech.progress import Progress, follow
from megatron_speech.storage.place import Places
from megatron_speech.training.batches import sample_numbers
from megatron_speech.vocabulary import Vocabulary

logger = logging.getLogger(__name__)


def gradient_error(config: GradientErrorConfig) -> None:
    """Make `config.output`; its facts hold {format: {part of the model: {relative_error, cosine}}}."""
    # Stop if it is made already; check the settings.
    checkpoint = find_checkpoint(config.checkpoint)
    inputs = [checkpoint / folders.CHECKSUMS]
    if is_made(config.output, kind="gradient_error", config=config, inputs=inputs):
        logger.info("%s: already done", config.output)
        return
    model, vocabulary = folders.read_model_config(checkpoint), folders.read_vocabulary(checkpoint)
    for precision in config.precisions.values():
        precision.check_shapes(model, ParallelConfig(), tokens=config.micro_batch_size * config.data.seq_length)

    # Compute the gradients in float32, then in each format, and compare them.
    with make_artifact(config.output, kind="gradient_error", config=config, inputs=inputs) as draft:
        groups.initialize(ParallelLayout.of(ParallelConfig(), world_size=1), seed=0)
        try:
            batches = _batches(config, vocabulary)
            loss_weights = torch.tensor(config.data.loss_weights, device=device())

            def gradients(precision: PrecisionConfig, *, name: str) -> dict[str, Tensor]:
                with Progress(f"gradient_error {name}: load {checkpoint.name}", late=True):
                    (chunk,) = chunks = build_model(
                        model, vocabulary=vocabulary, parallel=ParallelConfig(), precision=precision
                    )
                    load_model(checkpoint, chunks, model=model, vocabulary=vocabulary)
                return _gradients(
                    chunk.to(device()),
                    batches,
                    loss_weights=loss_weights,
                    warm_up=config.warm_up,
                    about=f"gradient_error {name}",
                )

            exact = gradients(PrecisionConfig(dtype="float32"), name="float32")
            wanted = _parts(exact, model=model, vocabulary=vocabulary)
            errors = {}
            for name, asked in config.precisions.items():
                precision, reason = resolve_precision(asked)
                logger.info("%s: %s", name, reason)
                found = _parts(gradients(precision, name=name), model=model, vocabulary=vocabulary)
                errors[name] = {part: compare(found[part], wanted[part]) for part in wanted}
                logger.info("%s: %s", name, errors[name]["speech rows"])
            draft.facts = GradientErrorFacts(
                errors=errors,
                step=folders.read_state(checkpoint).step,
                targets=int(sum(batch.loss_mask.sum() for batch in batches[config.warm_up :])),
            )
        finally:
            groups.shutdown()


def compare(found: Tensor, wanted: Tensor) -> TensorErrorFacts:
    """Norm of the error over the norm of `wanted`, and the cosine between `found` and `wanted`; computed in float64."""
    found, wanted = found.double().flatten(), wanted.double().flatten()
    length = wanted.norm()
    return TensorErrorFacts(
        relative_error=float((found - wanted).norm() / length),
        cosine=float(found @ wanted / (found.norm() * length)),
    )


def _batches(config: GradientErrorConfig, vocabulary: Vocabulary) -> list[Batch]:
    passes = config.warm_up + config.passes
    plan = compile_plan(config.data, vocabulary=vocabulary, num_samples=passes * config.micro_batch_size)
    numbers = sample_numbers(
        0,
        num_microbatches=passes,
        micro_batch_size=config.micro_batch_size,
        data_parallel_rank=0,
        data_parallel_size=1,
    )
    reader = Reader(plan, Places(config.data.reader))
    return [to_device(collate(reader.rows(each)), vocabulary, device()) for each in numbers]


def _gradients(
    chunk: nn.Module, batches: Sequence[Batch], *, loss_weights: Tensor, warm_up: int, about: str
) -> dict[str, Tensor]:
    """Gradients of the summed losses of all batches after the first `warm_up`, in float32, by parameter name."""
    total = {name: torch.zeros_like(weight, dtype=torch.float32) for name, weight in chunk.named_parameters()}
    for index, batch in enumerate(follow(batches, about, unit="passes")):
        losses = forward(
            chunk, tokens=batch.tokens, labels=batch.labels, cu_seqlens=batch.cu_seqlens, max_seqlen=batch.max_seqlen
        )
        loss, _ = training_loss(
            losses,
            loss_mask=batch.loss_mask,
            speech_targets=batch.speech_targets,
            source=batch.source,
            weights=loss_weights,
        )
        loss.backward()
        for name, weight in chunk.named_parameters():
            if index >= warm_up and weight.grad is not None:
                total[name] += weight.grad
            weight.grad = None
    return total


def _parts(gradients: dict[str, Tensor], *, model: ModelConfig, vocabulary: Vocabulary) -> dict[str, Tensor]:
    """Gradients to compare: text and speech rows of the embedding (joined with an untied head), and all layers."""
    names = ["embedding.word_embeddings.weight"]
    names += ["output_layer.weight"] if model.untie_embeddings_and_output_weights else []
    rows = torch.cat([gradients[name] for name in names], dim=1)
    layers = [gradient.flatten() for name, gradient in gradients.items() if name.startswith("decoder.layers.")]
    return {
        "text rows": rows[vocabulary.text_mask(torch.arange(len(rows)))],
        "speech rows": rows[vocabulary.speech_ids.start : vocabulary.speech_ids.stop],
        "layers": torch.cat(layers),
    }
