"""What a speech-text model is evaluated on, one task a file."""
