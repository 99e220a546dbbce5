"""Commands that work on text and token shards: the text-to-token model, interleaving, data."""

from __future__ import annotations

from megatron_speech.commands.command import Command

TEXT_TO_TOKEN = (
    Command(
        name="build_vocabulary",
        summary="Join a text and a speech tokenizer into one vocabulary folder.",
        about="The folder holds vocabulary.json and a Hugging Face tokenizer.",
        stage="text-to-token",
        settings="config.stages.build_vocabulary:BuildVocabularyConfig",
        function="text_tokenizer.vocabulary_folder:build_vocabulary",
        usual=("text", "speech_tokenizer", "output", "end_of_document", "begin_of_document", "spelling"),
        example="--text assets/smollm2-135m-instruct --speech_tokenizer speech_tokenizer --output vocabulary",
        heartbeat=True,
    ),
    Command(
        name="build_task_documents",
        summary="Lay transcribed speech tokens out as documents of one training task.",
        about="Training tasks are recognition, synthesis and text_to_token.",
        stage="text-to-token",
        settings="config.stages.text_to_token:BuildTaskDocumentsConfig",
        function="text_to_token.task_documents:build_task_documents",
        usual=("task", "codes", "vocabulary", "output", "utterances.voices"),
        example="--task recognition --codes codes/train --vocabulary vocabulary --output documents/recognition",
    ),
    Command(
        name="train_text_to_token",
        summary="Train a text-to-token model on packed (text, speech) pairs.",
        about="Runs alone or by `launch`. It is `pretrain` with this task's data and defaults: the same loop, signals "
        "and run folder, whose config.yaml `pretrain` repeats.",
        stage="text-to-token",
        settings="config.stages.dry_run:TextToTokenCommandConfig",
        function="commands.printed:train_text_to_token",
        flags=("dry_run",),
        usual=(
            "folder",
            "pairs",
            "held_out",
            "train.tokens",
            "train.micro_batch_size",
            "train.global_batch_size",
            "checkpoint.every_steps",
        ),
        example="--folder t2t/run --pairs t2t/packed --train.tokens 737280",
        logs=False,
    ),
    Command(
        name="round_trip",
        summary="Synthesise held-out texts, read the tokens back, and report the word error rate.",
        stage="text-to-token",
        settings="config.stages.text_to_token:RoundTripConfig",
        function="text_to_token.round_trip:round_trip",
        usual=("model", "speech_tokenizer", "codes", "text_vocabulary", "output", "utterances.max_utterances"),
        example="--model t2t/hf --speech_tokenizer speech_tokenizer --codes codes/heldout --output t2t/round_trip",
    ),
)

INTERLEAVE = (
    Command(
        name="read_aloud",
        summary="Print each line of standard input as a voice would say it.",
        about="What cannot be said is printed as `unspeakable: <reason>: <sign or words>`. Sentences are judged as "
        "`build_interleaved` judges them, so that one can look before a corpus is spoken.",
        stage="interleave",
        settings="config.inspection.read_aloud:ReadAloudConfig",
        function="commands.printed:read_aloud",
        usual=("language",),
        example="--language en <<< 'It costs $3.'",
        logs=False,
    ),
    Command(
        name="build_interleaved",
        summary="Turn text corpora into interleaved speech-text token shards.",
        about="Spans of words are replaced by speech tokens that the text-to-token model writes for them. Corpora are "
        "JSON lines, Parquet or WET; files or folders. `--run.part count` prints the number of tasks.",
        stage="interleave",
        settings="config.stages.build_interleaved:BuildInterleavedConfig",
        function="commands.printed:build_interleaved",
        usual=(
            "corpora.<name>.path",
            "model",
            "vocabulary",
            "output",
            "spans.ratio",
            "spans.mean_length",
            "synthesis.engine",
            "noise.max_wer",
            "run.workers",
        ),
        example="--corpora.web.path text.jsonl --model t2t/hf --vocabulary vocabulary --output documents/interleaved",
    ),
)

DATA = (
    Command(
        name="train_text_tokenizer",
        summary="Train a SentencePiece tokenizer on text corpora.",
        about="It is exported to Hugging Face's format with equal ids.",
        stage="data",
        settings="config.stages.train_text_tokenizer:TrainTextTokenizerConfig",
        function="tokenize_text.train_tokenizer:train_text_tokenizer",
        usual=("corpora.<name>.path", "output", "vocab_size", "model_type", "sample_documents", "test_documents"),
        example="--corpora.web.path text.jsonl --output text_tokenizer --vocab_size 32000",
    ),
    Command(
        name="tokenize_text",
        summary="Encode text corpora into token document shards.",
        about="Corpora are JSON lines or Parquet; files or folders. `--run.part count` prints the number of tasks.",
        stage="data",
        settings="config.stages.tokenize_text:TokenizeTextConfig",
        function="commands.printed:tokenize_text",
        usual=("corpora.<name>.path", "corpora.<name>.text_key", "vocabulary", "output", "on_bad_line", "run.workers"),
        example="--corpora.web.path text.jsonl --vocabulary vocabulary --output documents/text --run.workers 4",
    ),
    Command(
        name="pack_shards",
        summary="Pack token documents into rows of one length, ready for training.",
        stage="data",
        settings="config.stages.pack_shards:PackShardsConfig",
        function="data.packing.pack:pack_shards",
        usual=("input", "output", "seq_length", "algorithm", "overlong", "seed"),
        example="--input documents/text --output packed/text --seq_length 8192 --algorithm concat",
    ),
    Command(
        name="export_indexed_dataset",
        summary="Let megatron-core open token shards as `IndexedDataset`s without a copy.",
        about="Writes an .idx and a link for each of them.",
        stage="data",
        settings="config.inspection.shards:ExportIndexedDatasetConfig",
        function="data.shards.export_indexed:export_indexed_dataset",
        usual=("input", "output"),
        example="--input packed/text --output export/text",
    ),
    Command(
        name="index_shards",
        summary="Make the index of a folder of token shards again from its tars.",
        about="Writes the sidecars and shards.json, and checks all that the tars hold.",
        stage="data",
        settings="config.inspection.shards:IndexShardsConfig",
        function="data.shards.rebuild:index_shards",
        usual=("folder",),
        example="--folder packed/text",
    ),
)
