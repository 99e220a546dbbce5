"""Commands that train, convert and score the speech-text model."""

from __future__ import annotations

from megatron_speech.commands.command import Command

PRETRAINING = (
    Command(
        name="plan_mixture",
        summary="Print what a run will read, before it is queued.",
        about="Prints rows, tokens, share and epochs of every source in every stage. Takes the run's own YAML file; "
        "where data do not exist yet, sizes.<source> states how large they will be.",
        stage="pre-training",
        settings="config.inspection.plan_mixture:PlanMixtureConfig",
        function="commands.printed:plan_mixture",
        usual=("data.sources.<name>.folder", "data.stages", "train.tokens", "sizes.<name>.text_tokens", "output"),
        example="--config mixture/paper",
        reads=False,
        logs=False,
    ),
    Command(
        name="plan_parameters",
        summary="List the parameters of every rank of a run, before it is queued.",
        about="Takes the run's own YAML file and the sizes of its vocabulary. --check compares with the models that "
        "megatron-core builds, on any machine.",
        stage="pre-training",
        settings="config.inspection.plan_parameters:PlanParametersConfig",
        function="commands.printed:plan_parameters",
        flags=("check",),
        usual=(
            "num_text_ids",
            "num_speech_ids",
            "parallel.tensor_model_parallel_size",
            "parallel.pipeline_model_parallel_size",
            "check",
        ),
        example="--config glm4_9b/pretrain --num_text_ids 151552 --num_speech_ids 16384",
        reads=False,
        logs=False,
    ),
    Command(
        name="plan_run",
        summary="Predict memory, speed, days and cost of a run, before it is queued.",
        about="Takes the run's own YAML file, and a number of GPUs. Searches the fastest layout, too. Speeds "
        "are predictions with a 90 % interval; no GPU and no torch is needed.",
        stage="pre-training",
        settings="config.inspection.plan_run:PlanRunConfig",
        function="commands.printed:plan_run",
        flags=("json",),
        usual=(
            "gpus",
            "gpu",
            "num_text_ids",
            "num_speech_ids",
            "corpora.speech_hours",
            "site.prices",
            "from_run",
            "figure",
            "json",
        ),
        example="--config glm4_9b/pretrain --config glm4_9b/plan --gpus 256",
        reads=False,
        logs=False,
    ),
    Command(
        name="pretrain",
        summary="Train a model on packed shards: the speech-text model, or any other.",
        about="Runs alone or by `launch`. Writes a run folder (checkpoints, metrics, done.json). Ctrl-C, SIGTERM and "
        "SIGUSR1 save and leave with status 0.",
        stage="pre-training",
        settings="config.stages.dry_run:PretrainCommandConfig",
        function="commands.printed:pretrain",
        flags=("dry_run",),
        usual=(
            "folder",
            "model.base",
            "data.seq_length",
            "data.sources.<name>.folder",
            "data.sources.<name>.task",
            "data.sources.<name>.weight",
            "train.tokens",
            "train.micro_batch_size",
            "train.global_batch_size",
            "optimizer.lr",
            "precision.dtype",
            "parallel.tensor_model_parallel_size",
            "checkpoint.every_steps",
            "checkpoint.resume",
            "dry_run",
        ),
        example="--config miniature/pretrain --train.tokens 262144 --folder runs/first",
        logs=False,
    ),
    Command(
        name="gradient_error",
        summary="Compare gradients of a checkpoint in several number formats with float32's.",
        about="All formats see the same rows.",
        stage="pre-training",
        settings="config.reports.precision_report:GradientErrorConfig",
        function="training.gradient_error:gradient_error",
        usual=("checkpoint", "output", "data.seq_length", "data.sources.<name>.folder", "precisions.<name>.dtype"),
        example="--config precision/gradients",
    ),
    Command(
        name="launch",
        summary="Start a command on several ranks: torchrun, which shows a mistake as one line.",
        about="Takes torchrun's own options (`torchrun --help`), then a command of this table, or a script. The line "
        "is the last on the screen. Ctrl-C lets the ranks save and leave; once more ends them at once.",
        stage="pre-training",
        function="commands.launch:launch",
        words="[torchrun's options] COMMAND [options]",
        example="--nproc-per-node 8 pretrain --config run.yaml",
    ),
)

CONVERSION = (
    Command(
        name="convert_from_hf",
        summary="Import a Hugging Face text model as a training checkpoint.",
        about="Its weights are kept, and the vocabulary grows by speech.",
        stage="conversion",
        settings="config.stages.convert:ConvertFromHfConfig",
        function="checkpoint.hf_import:convert_from_hf",
        usual=("model", "vocabulary", "output"),
        example="--model assets/smollm2-135m-instruct --vocabulary vocabulary --output base",
    ),
    Command(
        name="convert_to_hf",
        summary="Export a training checkpoint to a Hugging Face folder with its extended tokenizer.",
        about="Of a run folder, it takes the newest checkpoint.",
        stage="conversion",
        settings="config.stages.convert:ConvertToHfConfig",
        function="checkpoint.hf_export:convert_to_hf",
        usual=("checkpoint", "vocabulary", "output", "dtype"),
        example="--checkpoint pretrain --vocabulary vocabulary --output hf",
    ),
)

EVALUATION = (
    Command(
        name="evaluate",
        summary="Score a Hugging Face folder by likelihood, with bootstrap intervals.",
        about="Writes evaluation.json, and prints its scores: cloze in four modality pairs, written and spoken "
        "questions on capitals, and the loss by modality on held-out documents.",
        stage="evaluation",
        settings="config.stages.dry_run:EvaluateCommandConfig",
        function="commands.printed:evaluate",
        flags=("dry_run",),
        usual=("model", "output", "cloze", "geo_qa", "held_out.sources", "tasks", "dtype", "device", "dry_run"),
        example="--model hf --output evaluation --held_out.sources '{text: documents/text-heldout}'",
    ),
    Command(
        name="compare_evaluations",
        summary="Compare evaluations of models on the same items: scores, differences, intervals, tests.",
        about="The first is compared with each of the others, item by item. Evaluations by unequal protocols, or of "
        "other items, are refused with what differs.",
        stage="evaluation",
        settings="config.inspection.compare_evaluations:CompareEvaluationsConfig",
        function="commands.printed:compare_evaluations",
        leading="evaluations",
        leads_all=True,
        flags=("json",),
        usual=("evaluations", "accept", "leaks", "cascade", "published", "json", "figure"),
        example="evaluation_before evaluation",
        logs=False,
    ),
    Command(
        name="check_contamination",
        summary="Find evaluation items in training data, also where a voice says them.",
        about="Writes leaks.jsonl: which item was found, in which document, and whether it is speech there. "
        "`compare_evaluations --leaks` then leaves these items out as well.",
        stage="evaluation",
        settings="config.inspection.check_contamination:CheckContaminationConfig",
        function="evaluation.contamination.check:check_contamination",
        usual=("data_sets.<name>.layout", "data_sets.<name>.folder", "sources", "vocabulary", "output", "share"),
        example="--data_sets.llamaq.layout llama_questions --data_sets.llamaq.folder llama-questions "
        "--sources '{web: documents/interleaved}' --vocabulary vocabulary --output contamination",
    ),
    Command(
        name="generate",
        summary="Talk to an exported model: it continues a prompt in text or speech.",
        about="The prompt is text or a recording; without either, prompts are read line by line. With `codes`, a batch "
        "of samples is made for a report instead.",
        stage="evaluation",
        settings="config.stages.generate:GenerateConfig",
        function="commands.printed:generate",
        flags=("interactive",),
        usual=(
            "model",
            "prompt",
            "audio",
            "speech_tokenizer",
            "speak",
            "speech_decoder",
            "vocoder",
            "interactive",
            "max_new_tokens",
            "temperature",
            "seed",
            "device",
        ),
        example="--model hf --prompt 'The capital of France is' --max_new_tokens 20",
    ),
)
