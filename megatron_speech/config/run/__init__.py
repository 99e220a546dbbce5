"""Settings of one training run, section by section; `training.PretrainConfig` is the whole file.

>>> from megatron_speech.config.run.training import BatchRampConfig, TrainConfig
>>> train = TrainConfig(global_batch_size=16, batch_ramp=BatchRampConfig(start=4, increment=4, samples=1000))
>>> train.batch_sizes
[4, 8, 12, 16]
"""
