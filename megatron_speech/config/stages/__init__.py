"""Settings of the offline tools, one file per tool or group of tools.

>>> from megatron_speech.config.stages.bottleneck import BottleneckConfig
>>> BottleneckConfig(frame_rate=12.5, block_seconds=2).block_frames
100
"""
