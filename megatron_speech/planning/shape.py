"""Shape of a decoder-only transformer, with its parameters and its FLOPs per token by component.

Published tables count the FLOPs of attention in two ways, up to 15 % apart. `full` counts every query against every
key. `causal` counts half of that, which is what fused kernels compute. Both count a multiplication and an addition as
two, the output layer but no embedding, and the backward pass as twice the forward pass.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Literal

from megatron_speech.config.run.model import ModelConfig

Convention = Literal["full", "causal"]


@dataclass(frozen=True, kw_only=True)
class Shape:
    """Sizes of a model; a gated MLP and RMSNorm by default, as the models of this project have."""

    layers: int
    hidden: int
    ffn: int
    heads: int
    groups: int
    head_dim: int
    vocabulary: int
    """Rows of the embedding, padding included."""
    gated: bool = True
    """Three matrices in the MLP, not two."""
    untied: bool = True
    """The output layer has weights of its own."""
    qkv_bias: bool = False
    biases: bool = False
    """Every projection and norm has a bias, as in GPT-3."""
    qk_norm: bool = False
    positions: int = 0
    """Learned position vectors."""

    @classmethod
    def of(cls, model: ModelConfig, *, vocabulary_rows: int) -> Shape:
        """Shape of `model` with an embedding of so many rows."""
        return cls(
            layers=model.num_layers,
            hidden=model.hidden_size,
            ffn=model.ffn_hidden_size,
            heads=model.num_attention_heads,
            groups=model.num_query_groups,
            head_dim=model.head_dim,
            vocabulary=vocabulary_rows,
            untied=model.untie_embeddings_and_output_weights,
            qkv_bias=model.add_qkv_bias,
            qk_norm=model.qk_layernorm,
        )

    @property
    def query(self) -> int:
        """Width of all query heads."""
        return self.heads * self.head_dim

    @property
    def joined(self) -> int:
        """Width of all query, key and value heads."""
        return (self.heads + 2 * self.groups) * self.head_dim

    @property
    def table(self) -> int:
        """Parameters of the embedding, or of the output layer."""
        return self.vocabulary * self.hidden

    @property
    def attention(self) -> int:
        """Parameters of one layer's projections around attention."""
        has_bias = self.qkv_bias or self.biases
        return self.hidden * (self.joined + self.query) + (self.joined if has_bias else 0)

    @property
    def mlp(self) -> int:
        """Parameters of one layer's MLP."""
        return self.hidden * (3 if self.gated else 2) * self.ffn + (self.ffn if self.biases else 0)

    @property
    def norms(self) -> int:
        """Parameters of one layer that every tensor parallel rank holds: norms, and biases added after a sum."""
        norms = (4 if self.biases else 2) * self.hidden + (2 * self.head_dim if self.qk_norm else 0)
        return norms + (2 * self.hidden if self.biases else 0)

    @property
    def final_norm(self) -> int:
        """Parameters of the norm before the output layer."""
        return (2 if self.biases else 1) * self.hidden

    @property
    def parameters(self) -> int:
        """Parameters of the whole model, each counted once."""
        tables = self.table * (2 if self.untied else 1) + self.positions * self.hidden
        return tables + self.layers * (self.attention + self.mlp + self.norms) + self.final_norm

    def flops_per_token(self, sequence: int, convention: Convention = "full") -> Flops:
        """FLOPs of the forward and backward pass for one token of a sequence of this length."""
        scores = 4 * sequence * self.query * self.layers // (2 if convention == "causal" else 1)
        return Flops(
            projections=3 * 2 * self.layers * self.hidden * (self.joined + self.query),
            attention=3 * scores,
            mlp=3 * 2 * self.layers * self.hidden * self.ffn * (3 if self.gated else 2),
            output_layer=3 * 2 * self.table,
        )

    def without_groups(self) -> Shape:
        """The shape as old tables counted it: every query head with a key and a value head of its own."""
        return replace(self, groups=self.heads)


@dataclass(frozen=True, kw_only=True)
class Flops:
    """FLOPs per token by component."""

    projections: int
    attention: int
    mlp: int
    output_layer: int

    @property
    def total(self) -> int:
        """Sum of all components."""
        return sum(asdict(self).values())
