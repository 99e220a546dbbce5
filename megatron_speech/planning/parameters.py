"""Counts a model's parameters, in total and on each rank of a parallel layout.

A layer has query, key and value projections, the attention output, three matrices of the gated MLP, and norm weights.
Tensor parallel ranks share every matrix evenly. That includes key and value projections with fewer groups than ranks:
megatron-core splits the joined projection and gathers its output. Norm weights are replicated.

The first pipeline stage also holds the embedding, the last one the final norm and the output head. If both are tied but
lie on different stages, the head is a second copy of the embedding. Data and context parallel ranks are copies.
`model.dry_run` builds the real model in megatron-core for comparison.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, fields

from megatron_speech.config.inspection.plan_parameters import PlanParametersConfig
from megatron_speech.config.run.model import ModelConfig
from megatron_speech.parallel.layout import ParallelLayout
from megatron_speech.planning.shape import Shape
from megatron_speech.vocabulary import Vocabulary


def plan_parameters(config: PlanParametersConfig) -> Iterator[str]:
    """Lines on the layout, the vocabulary, and the parameters of every rank of one replica.

    Raises:
        ValueError: the model does not fit the layout.
    """
    vocabulary, layout = planned_vocabulary(config), planned_layout(config)
    yield f"{layout.describe()}; vocabulary {vocabulary.size:,}, padded to {vocabulary.padded_size:,} rows"
    yield from describe(
        config.model,
        vocabulary_rows=vocabulary.padded_size,
        tensor_size=layout.tensor_size,
        layers_per_stage=layout.layers_per_stage(config.model.num_layers),
    )


def planned_vocabulary(config: PlanParametersConfig) -> Vocabulary:
    """The vocabulary that `config` states in numbers."""
    return Vocabulary(
        num_text_ids=config.num_text_ids,
        num_speech_ids=config.num_speech_ids,
        padding_multiple=config.padding_multiple,
    )


def planned_layout(config: PlanParametersConfig) -> ParallelLayout:
    """One replica of the run's layout; ValueError where the model does not fit it."""
    layout = ParallelLayout.one_replica(config.parallel)
    layout.check_model(config.model, vocabulary=planned_vocabulary(config))
    return layout


@dataclass(frozen=True, kw_only=True)
class Parameters:
    """Number of parameters by component."""

    embedding: int = 0
    attention: int = 0
    """Projections and their biases."""
    mlp: int = 0
    norms: int = 0
    """Weights of all norms; the only component that every tensor parallel rank holds completely."""
    output_layer: int = 0
    """Output head; 0 if it shares the embedding's weights on the same rank."""

    @property
    def total(self) -> int:
        """Sum of all components."""
        return sum(vars(self).values())

    def __add__(self, other: Parameters) -> Parameters:
        sums = {field.name: getattr(self, field.name) + getattr(other, field.name) for field in fields(self)}
        return Parameters(**sums)


def model_parameters(model: ModelConfig, *, vocabulary_rows: int) -> Parameters:
    """Count every parameter of the whole model once. `vocabulary_rows`: rows of the embedding, padding included."""
    whole = [model.num_layers]
    return rank_parameters(model, vocabulary_rows=vocabulary_rows, tensor_size=1, layers_per_stage=whole, stage=0)


def rank_parameters(
    model: ModelConfig, *, vocabulary_rows: int, tensor_size: int, layers_per_stage: Sequence[int], stage: int
) -> Parameters:
    """Count the parameters of one rank of pipeline stage `stage`; all its tensor parallel ranks have equally many."""
    return stage_parameters(
        Shape.of(model, vocabulary_rows=vocabulary_rows),
        tensor_size=tensor_size,
        layers_per_stage=layers_per_stage,
        stage=stage,
    )


def stage_parameters(shape: Shape, *, tensor_size: int, layers_per_stage: Sequence[int], stage: int) -> Parameters:
    """Count the parameters of one rank of pipeline stage `stage` of a model of any shape."""
    is_first, is_last = stage == 0, stage == len(layers_per_stage) - 1
    layers = layers_per_stage[stage]
    has_own_head = shape.untied or not is_first
    return Parameters(
        embedding=is_first * (shape.table // tensor_size + shape.positions * shape.hidden),
        attention=layers * shape.attention // tensor_size,
        mlp=layers * shape.mlp // tensor_size,
        norms=layers * shape.norms + is_last * shape.final_norm,
        output_layer=(is_last and has_own_head) * shape.table // tensor_size,
    )


def describe(
    model: ModelConfig, *, vocabulary_rows: int, tensor_size: int, layers_per_stage: Sequence[int]
) -> Iterator[str]:
    """Yield a table by component: every rank of one replica, their sum, and the whole model."""
    names = [field.name for field in fields(Parameters)]
    yield f"{'rank':<12}{'stage':>6}{'tensor':>7}" + "".join(f"{name:>15}" for name in [*names, "total"])
    everywhere = Parameters()
    for stage in range(len(layers_per_stage)):
        found = rank_parameters(
            model,
            vocabulary_rows=vocabulary_rows,
            tensor_size=tensor_size,
            layers_per_stage=layers_per_stage,
            stage=stage,
        )
        for tensor in range(tensor_size):
            everywhere += found
            yield f"{tensor + tensor_size * stage:<12}{stage:>6}{tensor:>7}{_columns(found)}"
    yield f"{'all ranks':<25}{_columns(everywhere)}"
    yield f"{'whole model':<25}{_columns(model_parameters(model, vocabulary_rows=vocabulary_rows))}"


def _columns(parameters: Parameters) -> str:
    return "".join(f"{number:>15,}" for number in [*astuple(parameters), parameters.total])
