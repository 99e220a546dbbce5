"""Toy data for the tests of several rooms: vocabularies, documents, folders of tools, a tiny model."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pytest

from megatron_speech.artifacts.manifest import make_artifact
from megatron_speech.audio.shards import AudioRecord, write_audio_shards
from megatron_speech.config.stages.pack_shards import PackShardsConfig
from megatron_speech.data.packing.pack import pack_documents
from megatron_speech.data.shards.document import TokenDocument
from megatron_speech.data.shards.documents import write_documents
from megatron_speech.text_tokenizer.tokenizer import TextTokenizer
from megatron_speech.vocabulary import Vocabulary

if TYPE_CHECKING:  # tests of data need no torch
    from transformers import LlamaForCausalLM

VOCABULARY = Vocabulary(num_text_ids=100, num_speech_ids=50)


def byte_vocabulary(num_codes: int) -> Vocabulary:
    """A vocabulary of bytes, an end-of-document id, special ids and `num_codes` speech ids."""
    return Vocabulary(num_text_ids=257, num_speech_ids=num_codes, end_of_document=256)


def documents_of(lengths: Sequence[int], *, seed: int = 0, with_targets: bool = False) -> list[TokenDocument]:
    """One document per length, with random ids other than the end of document."""
    rng = np.random.default_rng(seed)
    return [
        TokenDocument(
            key=f"document-{index}",
            tokens=rng.integers(1, VOCABULARY.size, length).astype(np.int32),
            target_start=int(rng.integers(0, length)) if with_targets else 0,
            meta={"index": index, "text": "naïve ☃"},
        )
        for index, length in enumerate(lengths)
    ]


def packed_folder(
    folder: Path,
    lengths: Sequence[int],
    *,
    seq_length: int = 16,
    algorithm: Literal["concat", "best_fit"] = "concat",
    seed: int = 0,
    with_targets: bool = False,
    shard_tokens: int = 1 << 28,
) -> Path:
    """A folder of rows packed from `documents_of(lengths)`, which are written to ``<folder>.documents``."""
    source = folder.with_name(folder.name + ".documents")
    documents = documents_of(lengths, seed=seed, with_targets=with_targets)
    write_documents(source, documents, vocabulary=VOCABULARY, name="documents", shard_tokens=200)
    config = PackShardsConfig(
        input=source,
        output=folder,
        seq_length=seq_length,
        algorithm=algorithm,
        shard_tokens=shard_tokens,
    )
    pack_documents(folder, config)
    return folder


def utterances(metas: Iterable[dict[str, Any]]) -> list[TokenDocument]:
    """One utterance per entry of `metas`; utterance n has the codes n to n + 4."""
    return [
        TokenDocument(key=f"u{n}", tokens=np.arange(n, n + 5, dtype=np.int32), meta=meta)
        for n, meta in enumerate(metas)
    ]


def write_codes(folder: Path, documents: Iterable[TokenDocument], *, num_codes: int, fingerprint: str) -> Path:
    """Write code shards like `tokenize_speech`."""
    vocabulary = Vocabulary.of_codes(num_codes, fingerprint)
    with make_artifact(folder, kind="speech_codes", config={}) as draft:
        draft.facts = write_documents(draft.folder, documents, vocabulary=vocabulary, name="codes")
    return folder


def write_audio(folder: Path, records: Iterable[AudioRecord], *, name: str = "audio", per_shard: int = 1000) -> Path:
    """Write audio shards like `speak_corpus`."""
    with make_artifact(folder, kind="audio", config={}) as draft:
        draft.facts = write_audio_shards(draft.folder, records, name=name, utterances_per_shard=per_shard)
    return folder


def write_jsonl(path: Path, *lines: object) -> Path:
    """Write one JSON value per line; a string is written as it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = (line if isinstance(line, str) else json.dumps(line, ensure_ascii=False) for line in lines)
    path.write_text("".join(f"{line}\n" for line in text))
    return path


def tiny_llama(vocabulary: Vocabulary, *, seed: int = 0, **changes: Any) -> LlamaForCausalLM:
    """A random model of 30k parameters with one row per id of `vocabulary`."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    shape = {
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
    }
    torch.manual_seed(seed)
    ids = {"vocab_size": vocabulary.size, "eos_token_id": vocabulary.end_of_document}
    return LlamaForCausalLM(LlamaConfig(**ids, **{**shape, **changes})).eval()


def write_model(folder: Path, vocabulary: Path, **changes: Any) -> Path:
    """Write a Hugging Face folder like `convert_to_hf`, with a `tiny_llama` for a vocabulary folder."""
    with make_artifact(folder, kind="hugging_face", config=None) as draft:
        tiny_llama(Vocabulary.load(vocabulary), **changes).save_pretrained(draft.folder)
        TextTokenizer.load(vocabulary).save(draft.folder)
        Vocabulary.load(vocabulary).save(draft.folder / "vocabulary.json")
    return folder


@contextmanager
def killed_when_a_shard_is_moved(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Ends the block with KeyboardInterrupt, like a kill, after a join has moved its first shard."""
    rename = Path.rename

    def dies(path: Path, target: Path) -> Path:
        moved = rename(path, target)
        if path.suffix == ".mspx":
            raise KeyboardInterrupt
        return moved

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Path, "rename", dies)
        yield
