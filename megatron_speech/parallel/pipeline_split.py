"""Reads Megatron's layout string, which assigns layers to pipeline stages, without torch.

`parallel.pipeline_model_parallel_layout` spells the model in forward order, with a bar between chunks. E is the
embedding, t a transformer layer, L the final norm with output head and loss. `x*n` repeats a letter or a bar, `(...)*n`
a group; commas are ignored. With P stages, chunk i is the (i // P)-th chunk of stage i % P.
"""

from __future__ import annotations

import re

_REPEATS = (re.compile(r"\(([^()]*)\)\*(\d+)"), re.compile(r"([EtL|])\*(\d+)"))


def chunks_of(layout: str) -> list[str]:
    """The chunks of a layout string without repeats ("Ett", "tL"); ValueError if they do not form a model."""
    plain = layout.replace(",", "")
    for pattern in _REPEATS:
        plain = pattern.sub(lambda match: match[1] * int(match[2]), plain)
    chunks = plain.split("|")
    if not re.fullmatch("Et+L", "".join(chunks)) or "" in chunks:
        raise ValueError(
            f"parallel.pipeline_model_parallel_layout={layout} must read E, one t per layer and L, with a bar between "
            "chunks that each hold something; for example Et*3|t*5L"
        )
    return chunks


def layers_of(layout: str) -> list[int]:
    """Number of transformer layers of every chunk."""
    return [chunk.count("t") for chunk in chunks_of(layout)]
