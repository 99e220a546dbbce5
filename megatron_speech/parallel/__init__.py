"""Ranks: the arithmetic of a parallel layout, process groups, agreement between ranks, and the launcher.

>>> from megatron_speech.config.run.parallel import ParallelConfig
>>> from megatron_speech.parallel.layout import ParallelLayout
>>> layout = ParallelLayout.of(ParallelConfig(tensor_model_parallel_size=2), world_size=8)
>>> layout.data_parallel_size, layout.coordinates(5).data
(4, 2)
"""
