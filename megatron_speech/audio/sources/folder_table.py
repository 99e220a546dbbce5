"""Folder layouts by name. A new layout needs one file and one line here; table layouts are in `layouts`."""

from __future__ import annotations

from megatron_speech.audio.sources.audio_folder import AUDIO_FOLDER
from megatron_speech.audio.sources.folders import KALDI, LIBRISPEECH
from megatron_speech.audio.sources.interface import FolderLayout
from megatron_speech.audio.sources.lhotse import SHAR

FOLDERS: dict[str, FolderLayout] = {
    "kaldi": KALDI,
    "shar": SHAR,
    "audio_folder": AUDIO_FOLDER,
    "librispeech": LIBRISPEECH,
}
