"""Speech to tokens: a vector-quantised Whisper encoder trained through recognition (arXiv 2411.17607 section 2.1)."""
