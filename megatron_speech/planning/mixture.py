"""Plans a mixture from stated sizes, packed folders, or both, for `plan_mixture`."""

from __future__ import annotations

from megatron_speech.artifacts.files import write_atomic
from megatron_speech.artifacts.plain_json import to_json
from megatron_speech.config.inspection.plan_mixture import PlanMixtureConfig, SizeConfig
from megatron_speech.data.plan.mixture import SourceFacts, plan_of, source_index
from megatron_speech.data.plan.plan import Plan
from megatron_speech.storage.place import local_folder
from megatron_speech.vocabulary import Vocabulary


def plan_mixture(config: PlanMixtureConfig) -> Plan:
    """Plan the run and write the plan to `config.output` if set; does not check max_epochs, so any plan can be shown.

    Raises:
        FileNotFoundError: a source has neither a stated size nor packed shards.
        ValueError: folders differ in vocabulary or seq_length, or shares do not add up.
    """
    data = config.data
    facts = {name: _stated(size, seq_length=data.seq_length) for name, size in config.sizes.items()}
    vocabulary: Vocabulary | None = None
    for name, source in data.sources.items():
        if name in facts:
            continue
        key = f"data.sources.{name}.folder"
        folder = local_folder(source.folder, data.reader)
        if not (folder / "vocabulary.json").is_file():
            raise FileNotFoundError(f"{key}={source.folder} holds no packed shards; pack them, or give sizes.{name}")
        vocabulary = vocabulary or Vocabulary.load(folder)
        facts[name] = SourceFacts.of_folder(source_index(source, data, vocabulary, key=f"data.sources.{name}"))
    plan = plan_of(
        data,
        facts,
        vocabulary="" if vocabulary is None else vocabulary.fingerprint,
        num_samples=config.num_samples,
    )
    if config.output is not None:
        config.output.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(config.output, to_json(plan.to_json(), indent=1) + "\n")
    return plan


def _stated(size: SizeConfig, *, seq_length: int) -> SourceFacts:
    tokens = size.text_tokens + size.speech_tokens
    rows = -(-tokens // seq_length) if size.rows is None else size.rows
    return SourceFacts(rows=rows, text_share=size.text_tokens / tokens if tokens else 1.0, checksum="")
