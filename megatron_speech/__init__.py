"""Speech-text pre-training with synthetic interleaved data, on megatron-core.

Importing the package imports no torch: configuration and planning stay instant on a login node.
"""

__version__ = "0.1.0"
