"""Speech to tokens: a Whisper encoder with a vector-quantised bottleneck, trained through recognition (arXiv 2411.17607 section 2.1)."""
