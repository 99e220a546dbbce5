"""`python -m megatron_speech.commands` is `megatron-speech`."""

from megatron_speech.commands.main import main

if __name__ == "__main__":
    main()
