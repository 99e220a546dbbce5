#!/usr/bin/env python
"""Read a part of the corpus aloud into audio shards (16 kHz FLAC with text).

The parts are training or held-out sentences, questions and cloze items; or collect the recordings of people. What may
not be heard is not spoken. Repeat it to go on after a stop.
"""

import logging

from megatron_speech.config.parsing.parse import parse_config, user_errors
from megatron_speech.config.stages.miniature import SpeakCorpusConfig


def main() -> None:
    config = parse_config(SpeakCorpusConfig, description=__doc__)
    from megatron_speech.miniature.speak import speak_corpus

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    with user_errors():
        speak_corpus(config)


if __name__ == "__main__":
    main()
