"""What the machine offers: its device, its number formats, and a stand-in that lets megatron-core run without CUDA.

>>> from megatron_speech.platform.number_format import resolve_dtype
>>> dtype, reason = resolve_dtype("auto", key="precision.dtype", gpu=True)
>>> dtype, reason
('bfloat16', 'precision.dtype=auto: bfloat16 on the GPU')
"""
