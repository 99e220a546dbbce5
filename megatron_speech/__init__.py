"""Speech-text pre-training with synthetic interleaved data, on megatron-core.

Importing the package does not import torch, so that configuration and planning are instant on a login node.
"""

__version__ = "0.1.0"
