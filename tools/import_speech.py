#!/usr/bin/env python
"""Make audio shards (16 kHz FLAC with text) of your own recordings: a table, a folder or tars in a usual layout.

Unusable ones are listed in quarantine.jsonl. Repeat it to go on after a stop.
"""

import logging

from megatron_speech.config.parsing.parse import parse_config, user_errors
from megatron_speech.config.stages.import_speech import ImportSpeechConfig


def main() -> None:
    config = parse_config(ImportSpeechConfig, description=__doc__ or "")
    from megatron_speech.audio.importing import import_speech

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    with user_errors():
        import_speech(config)


if __name__ == "__main__":
    main()
