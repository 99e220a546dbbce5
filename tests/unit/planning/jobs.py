"""Random jobs of the planner."""

from __future__ import annotations

from hypothesis import strategies as st

from megatron_speech.planning.gpus import gpu
from megatron_speech.planning.job import Job
from megatron_speech.planning.shape import Shape
from megatron_speech.planning.stacks import stack

GLM4_9B = Shape(layers=40, hidden=4096, ffn=13696, heads=32, groups=2, head_dim=128, vocabulary=168064, qkv_bias=True)


@st.composite
def jobs(draw: st.DrawFn) -> Job:
    """A job whose layout divides everything."""
    tensor, pipeline, context = (draw(st.sampled_from(sizes)) for sizes in ((1, 2, 8), (1, 2, 4), (1, 2)))
    copies, micro_batch = draw(st.sampled_from((1, 4, 32))), draw(st.sampled_from((1, 2)))
    return Job(
        shape=GLM4_9B,
        sequence=draw(st.sampled_from((2048, 8192))),
        gpu=gpu(draw(st.sampled_from(("H100", "GB200", "B300")))),
        stack=stack(draw(st.sampled_from(("bridge", "megatron", "torch_fsdp")))),
        gpus=tensor * pipeline * context * copies,
        tensor=tensor,
        pipeline=pipeline,
        virtual=draw(st.sampled_from((1, 5))) if pipeline > 1 else 1,
        context=context,
        micro_batch=micro_batch,
        global_batch=copies * micro_batch * 8,
        precision=draw(st.sampled_from(("bf16", "fp8"))),
        recompute=draw(st.sampled_from(("none", "attention", "mlp", "full"))),
        sequence_parallel=draw(st.booleans()) if tensor > 1 else False,
        sharding=draw(st.sampled_from(("none", "optimizer", "gradients", "weights"))),
    )
