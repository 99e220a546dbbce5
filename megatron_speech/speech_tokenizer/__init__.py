"""Speech to tokens: a vector-quantised Whisper encoder trained through recognition (arXiv 2411.17607)."""
