"""Rank arithmetic of a parallel layout, without torch; a layout is checked when it is made.

Megatron's rank order is "tensor, context, data, pipeline", with the tensor rank running fastest. So the ranks that
communicate most share a node:

    rank = tensor + T * (context + C * (data + D * pipeline))

A world that is not a multiple of the product of degrees, or a model that the degrees cannot split, raises ValueError.
"""

from __future__ import annotations

from dataclasses import dataclass

from megatron_speech.config.run.model import ModelConfig
from megatron_speech.config.run.parallel import ParallelConfig
from megatron_speech.parallel.pipeline_split import layers_of
from megatron_speech.vocabulary import Vocabulary


@dataclass(frozen=True, kw_only=True)
class Coordinates:
    """Index of one rank in each direction of a layout."""

    data: int
    pipeline: int
    context: int
    tensor: int


@dataclass(frozen=True, kw_only=True)
class ParallelLayout:
    """Degrees of parallelism over a world of ranks; make it with `of`, which checks them."""

    config: ParallelConfig
    world_size: int

    @classmethod
    def of(cls, config: ParallelConfig, *, world_size: int) -> ParallelLayout:
        """The layout of `config` over `world_size` ranks; ValueError if the degrees do not fit the world."""
        assert world_size >= 1, f"{world_size=}"
        layout = cls(config=config, world_size=world_size)
        if world_size % layout.model_parallel_size:
            raise ValueError(
                f"parallel: {layout._product} does not divide the world of {world_size} ranks; "
                f"start a multiple of {layout.model_parallel_size} ranks or lower a degree"
            )
        virtual = config.virtual_pipeline_model_parallel_size
        if virtual is not None and (virtual < 2 or layout.pipeline_size == 1):
            raise ValueError(
                f"parallel.virtual_pipeline_model_parallel_size={virtual} must be at least 2 and needs "
                "parallel.pipeline_model_parallel_size above 1; use null for one chunk per stage"
            )
        split = config.pipeline_model_parallel_layout
        if split is not None and (found := len(layers_of(split))) != layout.num_chunks:
            raise ValueError(
                f"parallel.pipeline_model_parallel_layout={split} has {found} chunks, but pipeline size "
                f"{layout.pipeline_size} x virtual size {layout.chunks_per_stage} = {layout.num_chunks}; change one"
            )
        return layout

    @classmethod
    def one_replica(cls, config: ParallelConfig) -> ParallelLayout:
        """The layout of `config` over the smallest world: one copy of the model."""
        return cls.of(config, world_size=cls(config=config, world_size=1).model_parallel_size)

    @property
    def tensor_size(self) -> int:
        """Number of ranks that share each matrix."""
        return self.config.tensor_model_parallel_size

    @property
    def pipeline_size(self) -> int:
        """Number of pipeline stages."""
        return self.config.pipeline_model_parallel_size

    @property
    def context_size(self) -> int:
        """Number of ranks that share each document."""
        return self.config.context_parallel_size

    @property
    def chunks_per_stage(self) -> int:
        """Number of model chunks on each rank; above 1 in an interleaved pipeline."""
        return self.config.virtual_pipeline_model_parallel_size or 1

    @property
    def num_chunks(self) -> int:
        """Number of chunks of one copy of the model."""
        return self.pipeline_size * self.chunks_per_stage

    @property
    def model_parallel_size(self) -> int:
        """Number of ranks that hold one copy of the model: tensor x pipeline x context."""
        return self.tensor_size * self.pipeline_size * self.context_size

    @property
    def data_parallel_size(self) -> int:
        """Number of copies of the model; each reads its own rows."""
        return self.world_size // self.model_parallel_size

    def coordinates(self, rank: int) -> Coordinates:
        """Coordinates of a global rank."""
        assert 0 <= rank < self.world_size, f"{rank=} outside the world of {self.world_size}"
        rest, tensor = divmod(rank, self.tensor_size)
        rest, context = divmod(rest, self.context_size)
        pipeline, data = divmod(rest, self.data_parallel_size)
        return Coordinates(data=data, pipeline=pipeline, context=context, tensor=tensor)

    def rank(self, place: Coordinates) -> int:
        """Global rank with the coordinates `place`; inverse of `coordinates`."""
        across = place.data + self.data_parallel_size * place.pipeline
        return place.tensor + self.tensor_size * (place.context + self.context_size * across)

    def num_microbatches(self, *, global_batch_size: int, micro_batch_size: int) -> int:
        """Number of micro-batches per rank and step; ValueError if the global batch cannot be divided evenly."""
        at_once = micro_batch_size * self.data_parallel_size
        if global_batch_size % at_once:
            raise ValueError(
                f"train.global_batch_size={global_batch_size} must be a multiple of {at_once} (train.micro_batch_size "
                f"{micro_batch_size} x data parallel size {self.data_parallel_size}); change one"
            )
        count = global_batch_size // at_once
        if self.chunks_per_stage > 1 and count % self.pipeline_size:
            raise ValueError(
                f"train.global_batch_size={global_batch_size} makes {count} micro-batches per rank, but the "
                f"interleaved pipeline needs a multiple of its {self.pipeline_size} stages; change the batch size"
            )
        return count

    def layers_per_stage(self, num_layers: int) -> list[int]:
        """Number of layers of each pipeline stage, in all its chunks; chunk i belongs to stage i % `pipeline_size`."""
        if self.config.pipeline_model_parallel_layout is None:
            return [num_layers // self.pipeline_size] * self.pipeline_size
        of_chunks = layers_of(self.config.pipeline_model_parallel_layout)
        return [sum(of_chunks[stage :: self.pipeline_size]) for stage in range(self.pipeline_size)]

    def check_model(self, model: ModelConfig, *, vocabulary: Vocabulary) -> None:
        """Raise ValueError for a model that this layout cannot split evenly."""
        self._check_layers(model.num_layers)
        for name in ("num_attention_heads", "ffn_hidden_size"):
            self._divides(f"model.{name}", getattr(model, name), self.tensor_size, "tensor parallel size")
        heads, groups = model.num_attention_heads, model.num_query_groups
        if groups % self.tensor_size and self.tensor_size % groups:
            raise ValueError(
                f"model.num_query_groups={groups} must be a multiple or a divisor of the tensor parallel size "
                f"{self.tensor_size}; change the layout or the model"
            )
        # With fewer groups than ranks, megatron-core may cut the joint projection inside a head.
        joint = (heads + 2 * groups) * model.head_dim
        self._divides("model's query, key and value width", joint, self.tensor_size, "tensor parallel size")
        self._divides("vocabulary padded size", vocabulary.padded_size, self.tensor_size, "tensor parallel size")

    def _check_layers(self, num_layers: int) -> None:
        """Raise ValueError unless all layers go to chunks and `recompute_num_layers` divides each chunk's layers."""
        config = self.config
        split = config.pipeline_model_parallel_layout
        if split is None:
            self._divides("model.num_layers", num_layers, self.num_chunks, "pipeline size x virtual size")
            layers = [num_layers // self.num_chunks]
        else:
            layers = layers_of(split)
            if sum(layers) != num_layers:
                raise ValueError(
                    f"parallel.pipeline_model_parallel_layout={split} has {sum(layers)} layers (t), but "
                    f"model.num_layers={num_layers}; change one"
                )
        unit = config.recompute_num_layers or 1
        if config.recompute_method == "uniform" and any(count % unit for count in layers):
            raise ValueError(
                f"parallel.recompute_num_layers={unit} must divide the {', '.join(map(str, layers))} layers of every "
                "chunk under recompute_method=uniform; change it"
            )

    def describe(self) -> str:
        """One line for logs: every degree, the data parallel size and the options."""
        config = self.config
        extra = f" + virtual pipeline {self.chunks_per_stage}" if self.chunks_per_stage > 1 else ""
        extra += f" + chunks {config.pipeline_model_parallel_layout}" if config.pipeline_model_parallel_layout else ""
        extra += " + sequence parallel" if config.sequence_parallel else ""
        extra += " + distributed optimizer" if config.use_distributed_optimizer else ""
        extra += f" + recompute {config.recompute_granularity}" if config.recompute_granularity else ""
        return f"{self._product}, data {self.data_parallel_size}, world {self.world_size}{extra}"

    @property
    def _product(self) -> str:
        return (
            f"tensor {self.tensor_size} x pipeline {self.pipeline_size} x context {self.context_size} = "
            f"{self.model_parallel_size}"
        )

    @staticmethod
    def _divides(name: str, value: int, degree: int, what: str) -> None:
        if value % degree:
            raise ValueError(
                f"{name}={value} must be a multiple of the {what} {degree}; change the layout or the model"
            )
