"""Trains the token-to-mel network with an L1 loss on mel frames and on their differences in time.

Audio shards and code shards are joined by key. Utterances are not cut, so that frame times and context are those of
inference. Batches hold similar lengths, for little padding. Limitations: all mel frames are held in memory (0.1 MB per
utterance). Only utterances of `config.voices` are used, since the network has no speaker input.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from megatron_speech.artifacts.facts.speech_tokenizer import SpeechDecoderFacts
from megatron_speech.artifacts.left_out import show
from megatron_speech.artifacts.manifest import is_made, make_artifact
from megatron_speech.audio.io import SAMPLE_RATE, resample
from megatron_speech.audio.shards import read_audio_shards
from megatron_speech.config.stages.speech_decoder import TrainSpeechDecoderConfig
from megatron_speech.data.shards.documents import read_documents
from megatron_speech.progress import Progress, follow
from megatron_speech.schedules import factor_by_start
from megatron_speech.speech_decoder.folder import DecoderIdentity
from megatron_speech.speech_decoder.mel import MelSettings, log_mel
from megatron_speech.speech_decoder.token_to_mel import TokenToMel
from megatron_speech.speech_decoder.training.start import start_from_codebook
from megatron_speech.vocabulary import Vocabulary

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class TrainingPair:
    """Codes and mel frames of one utterance."""

    codes: Tensor
    """Speech codes [N], int64."""
    mel: Tensor
    """Log-mel frames [T, M], float32; T may be less than `num_frames(N)` of the network."""


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Padded utterances of similar length."""

    codes: Tensor
    """[B, N] int64."""
    lengths: Tensor
    """Real tokens of each row, [B] int64."""
    mel: Tensor
    """[B, T, M] float32."""
    mask: Tensor
    """[B, T, 1]: 1 where `mel` is speech, 0 where it is padding."""


def train_speech_decoder(config: TrainSpeechDecoderConfig) -> None:
    """Make the artifact `config.output`: config.json, model.safetensors, manifest with the held-out loss.

    Raises ValueError if no utterance is left, or codes, audio and tokenizer do not fit together.
    """
    inputs = [config.audio, config.codes, config.heldout_audio, config.heldout_codes, config.tokenizer]
    if is_made(config.output, kind="speech_decoder", config=config, inputs=inputs):
        logger.info("%s: already done", config.output)
        return
    mel, vocabulary = MelSettings(), Vocabulary.load(config.codes)
    identity = DecoderIdentity(
        codebook_size=vocabulary.num_speech_ids,
        frame_rate=config.frame_rate,
        speech_fingerprint=vocabulary.speech_fingerprint,
    )
    train = load_utterances(config.audio, config.codes, config=config, mel=mel, limit=config.max_utterances)
    heldout = load_utterances(config.heldout_audio, config.heldout_codes, config=config, mel=mel, limit=64)
    with make_artifact(config.output, kind="speech_decoder", config=config, inputs=inputs) as draft:
        torch.manual_seed(config.seed)  # initial weights and dropout use torch's global generator
        net = TokenToMel(config.net, identity, mel)
        start_from_codebook(net.embedding, config.tokenizer, identity.speech_fingerprint)
        facts = draft.facts = fit(net, train, heldout, config=config)
        net.save(draft.folder)
    logger.info("%s: held-out L1 of log-mel frames %.3f", config.output, facts.heldout_l1)


def load_utterances(
    audio: Path, codes: Path, *, config: TrainSpeechDecoderConfig, mel: MelSettings, limit: int
) -> list[TrainingPair]:
    """Join audio and code shards by key and compute mel frames; at most `limit` utterances of `config.voices`.

    Raises ValueError if the codes and the audio of a key differ in duration, or no utterance is left.
    """
    documents = {document.key: document for document in read_documents(codes)}
    left_out: Counter[str] = Counter()
    others: Counter[str] = Counter()
    utterances: list[TrainingPair] = []
    for record in follow(read_audio_shards(audio), f"train_speech_decoder {audio}: read", unit="utterances"):
        if len(utterances) == limit:
            break
        # Count the utterances that cannot be used, and keep the others.
        document = documents.get(record.key)
        if document is None:
            left_out["without codes"] += 1
        elif record.voice not in config.voices:
            left_out["of another voice"] += 1
            others[str(record.voice)] += 1
        elif len(document.tokens) > config.max_tokens:
            left_out["too long"] += 1
        else:
            duration_s = len(record.waveform) / SAMPLE_RATE
            if abs(len(document.tokens) - duration_s * config.frame_rate) > 1.5:
                raise ValueError(
                    f"{codes}: {record.key} has {len(document.tokens)} codes for {duration_s:.2f} s of audio, not "
                    f"frame_rate={config.frame_rate} per second; set the tokenizer's rate or encode this audio again"
                )
            waveform = torch.from_numpy(resample(record.waveform, SAMPLE_RATE, mel.sample_rate))
            utterances.append(TrainingPair(codes=torch.from_numpy(document.tokens).long(), mel=log_mel(waveform, mel)))
    # Say why nothing is left.
    if not utterances:
        found = ", ".join(voice for voice, _ in others.most_common(5)) or "none"
        raise ValueError(
            f"{audio}: no utterance to learn from ({dict(left_out)}); check codes, and that voices="
            f"{list(config.voices)} stand in the metadata as voice or speaker (others found there: {found})"
        )
    logger.info("%s: %d utterances, left out %s", audio, len(utterances), show(left_out))
    return utterances


def fit(
    net: TokenToMel, train: Sequence[TrainingPair], heldout: Sequence[TrainingPair], *, config: TrainSpeechDecoderConfig
) -> SpeechDecoderFacts:
    """Train `net` in place and return the facts of the manifest. Equal seeds give equal weights on one machine."""
    _standardise(net, train)
    optimizer = torch.optim.AdamW(net.parameters(), lr=config.lr, betas=(0.9, 0.98), weight_decay=0.01)
    factor = partial(factor_by_start, warmup=max(1, config.steps // 20), total=config.steps)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
    # Train for `config.steps`, with the held-out error before and after.
    loss_first = heldout_l1(net, heldout, batch_size=config.batch_size)
    net.train()
    heard = 0
    batches = _batches(train, net, batch_size=config.batch_size, seed=config.seed)
    with Progress("train_speech_decoder", unit="steps", total=config.steps) as progress:
        for batch in islice(batches, config.steps):
            loss = _loss(net, batch, delta_weight=config.delta_weight)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()
            scheduler.step()
            progress.add()
            heard += len(batch.codes)
            progress.note = f"loss {loss.item():.3f}, {heard:,} utterances so far"
    return SpeechDecoderFacts(
        utterances=len(train),
        hours=round(sum(len(utterance.mel) for utterance in train) / net.mel.frame_rate / 3600, 3),
        parameters=sum(parameter.numel() for parameter in net.parameters()),
        steps=config.steps,
        heldout_utterances=len(heldout),
        heldout_l1_untrained=loss_first,
        heldout_l1=heldout_l1(net, heldout, batch_size=config.batch_size),
    )


@torch.inference_mode()
def heldout_l1(net: TokenToMel, utterances: Sequence[TrainingPair], *, batch_size: int) -> float:
    """Mean absolute error of log-mel values (natural logarithm) over `utterances`."""
    net.eval()
    total, count = 0.0, 0.0
    for start in range(0, len(utterances), batch_size):
        batch = _collate(utterances[start : start + batch_size], net)
        error = (net(batch.codes, batch.lengths) - batch.mel).abs() * batch.mask
        total, count = total + error.sum().item(), count + batch.mask.sum().item() * net.mel.num_mels
    return total / count


def _loss(net: TokenToMel, batch: Batch, *, delta_weight: float) -> Tensor:
    """L1 of standardised mel frames plus `delta_weight` times the L1 of their differences in time."""
    predicted = (net(batch.codes, batch.lengths) - batch.mel) / net.mel_std * batch.mask
    values = batch.mask.sum() * net.mel.num_mels
    error = predicted.abs().sum() / values
    both = batch.mask[:, 1:] * batch.mask[:, :-1]
    loss: Tensor = error + delta_weight * (predicted.diff(dim=1) * both).abs().sum() / values
    return loss


def _batches(utterances: Sequence[TrainingPair], net: TokenToMel, *, batch_size: int, seed: int) -> Iterator[Batch]:
    """Yield batches of similar lengths without end; `seed` fixes the order, which differs between epochs."""
    generator = torch.Generator().manual_seed(seed)
    window = 16 * batch_size
    while True:
        order = torch.randperm(len(utterances), generator=generator).tolist()
        groups: list[list[int]] = []
        for start in range(0, len(order), window):
            by_length = sorted(order[start : start + window], key=lambda index: len(utterances[index].codes))
            groups += [by_length[i : i + batch_size] for i in range(0, len(by_length), batch_size)]
        for index in torch.randperm(len(groups), generator=generator).tolist():
            yield _collate([utterances[i] for i in groups[index]], net)


def _collate(utterances: Sequence[TrainingPair], net: TokenToMel) -> Batch:
    codes = pad_sequence([utterance.codes for utterance in utterances], batch_first=True)
    lengths = torch.tensor([len(utterance.codes) for utterance in utterances])
    num_frames = net.num_frames(codes.shape[1])
    mel = torch.zeros(len(utterances), num_frames, net.mel.num_mels)
    mask = torch.zeros(len(utterances), num_frames, 1)
    for row, utterance in enumerate(utterances):
        real = min(len(utterance.mel), net.num_frames(len(utterance.codes)))
        mel[row, :real], mask[row, :real] = utterance.mel[:real], 1.0
    return Batch(codes=codes, lengths=lengths, mel=mel, mask=mask)


def _standardise(net: TokenToMel, utterances: Sequence[TrainingPair]) -> None:
    """Set the network's mean and standard deviation of every band from the training speech."""
    frames = torch.cat([utterance.mel for utterance in utterances])
    net.mel_mean.copy_(frames.mean(dim=0))
    net.mel_std.copy_(frames.std(dim=0).clamp(min=1e-3))
