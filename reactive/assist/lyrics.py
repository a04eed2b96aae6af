"""A song's words with their times by Whisper, on the CPU too: written as LRC, which a person can correct and `--lyrics` reads."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from reactive.assist.weights import find_weights
from reactive.diffusion.models.quiet import silence
from reactive.errors import ModelError
from reactive.media.sound import Track, resampled, stereo_blocks
from reactive.preset.lyrics import Line

DEFAULT_MODEL = "whisper-small"
SAMPLE_RATE = 16_000
LONGEST_LINE = 300
# a line repeated this often in a row is Whisper's output for music without words
MAX_REPEATS = 4
# seconds; after a shorter pause no empty line is needed to end a line
PAUSE_SECONDS = 1.5


@dataclass(frozen=True)
class Transcriber:
    """A loaded Whisper: the network, and its processor for inputs and outputs."""

    model: Any
    processor: Any

    @property
    def languages(self) -> tuple[str, ...]:
        """The languages that it knows, as ``en``; empty for a model of English only."""
        told = getattr(self.model.generation_config, "lang_to_id", None) or {}
        return tuple(sorted(token.strip("<|>") for token in told))


def load_transcriber(name: str = DEFAULT_MODEL, *, device: str = "cpu") -> Transcriber:
    """Load a Whisper: a short name whose weights are here, or a folder saved by save_pretrained.

    Raises
    ------
    ModelError
        If it is missing, or is not a Whisper model.
    """
    from transformers import WhisperForConditionalGeneration, WhisperProcessor

    folder = find_weights(name, "lyrics")
    silence("transformers")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            processor = WhisperProcessor.from_pretrained(folder, local_files_only=True)
            model = WhisperForConditionalGeneration.from_pretrained(
                folder, local_files_only=True, use_safetensors=True, dtype=torch.float32
            )
    except Exception as problem:
        # transformers raises various errors for missing or damaged files
        said = " ".join(str(problem).split())[:160]
        raise ModelError(f"can't be loaded as Whisper ({said})", where=str(folder), remedy="fetch it again") from None
    return Transcriber(model.eval().to(device), processor)


def transcribe(track: Track, transcriber: Transcriber, *, language: str | None = None) -> list[Line]:
    """Return a song's words, line by line.

    Parameters
    ----------
    language
        As ``en``; None to detect it.

    Raises
    ------
    ModelError
        If the model does not know the language.
    """
    known = transcriber.languages
    if language is not None and known and language not in known:
        raise ModelError(
            f'does not know the language "{language[:20]}"',
            where="--language",
            remedy=f"it knows {', '.join(known[:12])} ...",
        )
    parts = stereo_blocks(track)
    sound = np.concatenate(list(resampled(parts, track.sample_rate, SAMPLE_RATE, 2))).mean(axis=1)
    model, processor = transcriber.model, transcriber.processor
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")
        # it processes 30 s at a time; shorter songs are padded with silence
        short = len(sound) <= processor.feature_extractor.n_samples
        given = processor(
            sound,
            sampling_rate=SAMPLE_RATE,
            return_tensors="pt",
            truncation=False,
            padding="max_length" if short else "longest",
            return_attention_mask=True,
        )
        told = {"language": language, "task": "transcribe"} if known else {}
        found = model.generate(
            given["input_features"].to(model.device),
            attention_mask=given["attention_mask"].to(model.device),
            return_timestamps=True,
            return_segments=True,
            condition_on_prev_tokens=False,
            **told,
        )
    segments = found["segments"][0]
    texts = processor.batch_decode([segment["tokens"] for segment in segments], skip_special_tokens=True)
    heard = [
        (float(segment["start"]), float(segment["end"]), text) for segment, text in zip(segments, texts, strict=True)
    ]
    return clean_lines(heard, track.duration)


def clean_lines(heard: Iterable[tuple[float, float, str]], duration: float) -> list[Line]:
    """Return lines in their order, within the song, without empty ones and without repeated ones."""
    lines: list[Line] = []
    repeats = 0
    for start, end, text in sorted(heard):
        plain = " ".join(re.sub(r"<\|[^|>]{0,20}\|>", "", text).split())[:LONGEST_LINE]
        start, end = max(0.0, start), min(end, duration)
        if not any(letter.isalnum() for letter in plain) or start >= end:
            continue
        if lines and plain.casefold() == lines[-1].text.casefold():
            repeats += 1
            if repeats >= MAX_REPEATS:
                continue
        else:
            repeats = 0
        if lines and start < lines[-1].end:
            # lines must not overlap
            lines[-1] = Line(lines[-1].start, max(start, lines[-1].start), lines[-1].text)
        lines.append(Line(start, end, plain))
    return [line for line in lines if line.end > line.start]


def lrc_text(lines: Iterable[Line]) -> str:
    """Return lines as LRC: ``[01:02.50]words``; an empty line ends one that is followed by a pause."""
    rows: list[str] = []
    ordered = list(lines)
    for number, line in enumerate(ordered):
        rows.append(f"[{_stamp(line.start)}]{line.text}")
        following = ordered[number + 1].start if number + 1 < len(ordered) else None
        if following is None or following - line.end >= PAUSE_SECONDS:
            rows.append(f"[{_stamp(line.end)}]")
    return "".join(f"{row}\n" for row in rows)


def _stamp(seconds: float) -> str:
    hundredths = round(seconds * 100)
    return f"{hundredths // 6000:02d}:{hundredths // 100 % 60:02d}.{hundredths % 100:02d}"


def song_words(path: Path) -> Path:
    """Return the default path of a song's words: beside it, with the suffix .lrc."""
    return path.with_suffix(".lrc")
