"""Speech tokens to mel spectrogram, mel spectrogram to waveform."""
