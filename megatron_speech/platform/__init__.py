"""What the machine has: device, report, and the stand-in that lets megatron-core run without CUDA."""
