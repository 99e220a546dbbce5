"""Commands that write reports and let a person look at things."""

from __future__ import annotations

from megatron_speech.commands.command import Command

REPORTS = (
    Command(
        name="report",
        summary="Write report.md and its figures into a run folder of the miniature.",
        about="It reads the manifests and metric lines that lie there.",
        stage="reports",
        settings="config.reports.report:ReportConfig",
        function="reports.miniature.build:report",
        usual=("folder", "title"),
        example="--folder runs/miniature",
        heartbeat=True,
    ),
    Command(
        name="precision_report",
        summary="Write report.md and precision.png beside training runs that differ in precision alone.",
        stage="reports",
        settings="config.reports.precision_report:PrecisionReportConfig",
        function="reports.precision:precision_report",
        usual=("folder", "runs", "baseline", "gradients"),
        example="--config precision/report",
        heartbeat=True,
    ),
    Command(
        name="tokenizer_experiments",
        summary="Put speech tokenizers that differ in a setting or two side by side.",
        about="Writes report.md and wer.png from their manifests.",
        stage="reports",
        settings="config.reports.tokenizer_report:TokenizerExperimentsConfig",
        function="reports.experiments:tokenizer_experiments",
        usual=("folder", "rows", "baseline"),
        example="--config speech_tokenizer/experiments --folder .",
        heartbeat=True,
    ),
    Command(
        name="text_to_token_curve",
        summary="Put text-to-token models that learnt from different pairs side by side.",
        about="Writes report.md and curve.png.",
        stage="reports",
        settings="config.reports.text_to_token_curve:TextToTokenCurveConfig",
        function="reports.text_to_token_curve:text_to_token_curve",
        usual=("folder", "rows.<name>.utterances"),
        example="--config text_to_token/curve --folder .",
        heartbeat=True,
    ),
)

LOOKING = (
    Command(
        name="ls",
        summary="List artifacts and run folders: kind, size, when, whole or not, from what.",
        about="A folder is complete, partial (still being made) or damaged; damage inside shards is found by "
        "`verify_shards` alone.",
        stage="looking at things",
        settings="config.inspection.commands:LsConfig",
        function="commands.listing:ls",
        leading="folder",
        flags=("json",),
        usual=("folder", "json"),
        example="runs/miniature",
        logs=False,
    ),
    Command(
        name="inspect_shards",
        summary="Show what a folder of token shards holds: counts, modality shares, first samples.",
        stage="looking at things",
        settings="config.inspection.shards:InspectShardsConfig",
        function="commands.printed:inspect_shards",
        usual=("folder", "samples", "tokenizer"),
        example="--folder packed/text --tokenizer vocabulary",
    ),
    Command(
        name="verify_shards",
        summary="Read folders of token shards whole and tell every damage.",
        about="A damage is told by file, block, member and byte. Exit status 1 if there is any.",
        stage="looking at things",
        settings="config.inspection.shards:VerifyShardsConfig",
        function="commands.printed:verify_shards",
        flags=("ids",),
        usual=("folders", "ids", "output"),
        example="--folders packed/text --ids",
    ),
    Command(
        name="doctor",
        summary="Say what this machine has, and what the absence of the rest costs.",
        stage="looking at things",
        function="platform.doctor:doctor",
    ),
    Command(
        name="schema",
        summary="Print the JSON schema of a command's YAML file, for editors.",
        about="An editor with a YAML language server reads it from a first line "
        "`# yaml-language-server: $schema=pretrain.schema.json`.",
        stage="looking at things",
        settings="config.inspection.commands:SchemaConfig",
        function="commands.json_schema:schema",
        leading="verb",
        usual=("verb",),
        example="pretrain > pretrain.schema.json",
        logs=False,
    ),
    Command(
        name="completion",
        summary="Print a script that lets a shell complete commands, keys and values.",
        about="Keys below a name of your own (`corpora.<name>.path`) are not completed.",
        stage="looking at things",
        settings="config.inspection.commands:CompletionConfig",
        function="commands.completion:completion",
        leading="shell",
        usual=("shell",),
        example="bash > ~/.local/share/bash-completion/completions/megatron-speech",
        logs=False,
    ),
)
