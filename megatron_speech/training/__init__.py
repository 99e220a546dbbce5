"""Training: loop, step, optimizer, schedule, state and metrics of a run.

>>> from megatron_speech.config.run.training import TrainConfig
>>> from megatron_speech.training.schedule import steps
>>> train = TrainConfig(tokens=1000, micro_batch_size=2, global_batch_size=4)
>>> list(steps(train, first=0, total=10))
[(0, 4), (4, 4), (8, 4)]
"""

from megatron_speech.platform import standin

standin.install()  # importing a module of this room runs this first, before the module imports megatron-core
