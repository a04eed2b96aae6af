"""Transcription of lyrics with a toy Whisper of transformers' own classes, and lines as the LRC reader expects them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from reactive.assist.lyrics import clean_lines, load_transcriber, lrc_text, transcribe
from reactive.cli import main
from reactive.errors import ModelError
from reactive.media.sound import open_track
from reactive.preset.lyrics import Line, read_lyrics

WORDS = ("we", "sing", "all", "night", "of", "light")


@pytest.fixture(scope="module")
def toy_whisper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Whisper of one layer with a vocabulary of a few words and its time stamps, saved like a real one."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import (
        GenerationConfig,
        WhisperConfig,
        WhisperFeatureExtractor,
        WhisperForConditionalGeneration,
        WhisperProcessor,
        WhisperTokenizerFast,
    )

    folder = tmp_path_factory.mktemp("whisper")
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {letter: number for number, letter in enumerate(letters)}
    plain = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    plain.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    plain.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|startoftranscript|>", "<|en|>", "<|de|>", "<|translate|>", "<|transcribe|>"]
    special += ["<|startoflm|>", "<|startofprev|>", "<|nospeech|>", "<|notimestamps|>"]
    tokenizer = WhisperTokenizerFast(
        tokenizer_object=plain, unk_token="<|endoftext|>", bos_token="<|endoftext|>", eos_token="<|endoftext|>"
    )
    tokenizer.add_special_tokens({"additional_special_tokens": special})
    tokenizer.add_tokens([f"<|{number * 0.02:.2f}|>" for number in range(1501)])
    number = tokenizer.convert_tokens_to_ids
    extractor = WhisperFeatureExtractor(feature_size=16)
    size = len(tokenizer)
    config = WhisperConfig(
        vocab_size=size,
        num_mel_bins=16,
        d_model=16,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=16,
        decoder_ffn_dim=16,
        max_source_positions=1500,
        max_target_positions=64,
        pad_token_id=number("<|endoftext|>"),
        bos_token_id=number("<|endoftext|>"),
        eos_token_id=number("<|endoftext|>"),
        decoder_start_token_id=number("<|startoftranscript|>"),
    )
    torch.manual_seed(0)
    model = WhisperForConditionalGeneration(config)
    model.generation_config = GenerationConfig(
        decoder_start_token_id=number("<|startoftranscript|>"),
        eos_token_id=number("<|endoftext|>"),
        pad_token_id=number("<|endoftext|>"),
        no_timestamps_token_id=number("<|notimestamps|>"),
        is_multilingual=True,
        lang_to_id={"<|en|>": number("<|en|>"), "<|de|>": number("<|de|>")},
        task_to_id={"translate": number("<|translate|>"), "transcribe": number("<|transcribe|>")},
        prev_sot_token_id=number("<|startofprev|>"),
        max_length=40,
        return_timestamps=False,
        max_initial_timestamp_index=50,
    )
    model.save_pretrained(folder)
    WhisperProcessor(extractor, tokenizer).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def sung(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sung") / "song.wav"
    soundfile.write(path, np.random.default_rng(0).standard_normal(5 * 16000) * 0.1, 16000)
    return path


def test_a_whisper_is_loaded_and_generates_from_a_song(toy_whisper: Path, sung: Path) -> None:
    transcriber = load_transcriber(str(toy_whisper))
    assert transcriber.languages == ("de", "en")
    lines = transcribe(open_track(sung), transcriber, language="en")
    # random weights give meaningless words, but within the song and in order
    assert all(0 <= line.start < line.end <= 5.0 for line in lines)
    assert [line.start for line in lines] == sorted(line.start for line in lines)
    with pytest.raises(ModelError, match='language "xx"'):
        transcribe(open_track(sung), transcriber, language="xx")


def test_the_networks_output_becomes_timed_lines(
    toy_whisper: Path, sung: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    transcriber = load_transcriber(str(toy_whisper))
    asked: dict[str, Any] = {}
    encode = transcriber.processor.tokenizer.encode

    def generate(features: Any, **told: Any) -> Any:
        asked.update(told, shape=tuple(features.shape))
        said = [(0.5, 2.0, " we sing all night"), (2.0, 3.5, " of light"), (3.5, 3.9, " ...")]
        return {
            "segments": [
                [
                    {"start": start, "end": end, "tokens": encode(text, add_special_tokens=False)}
                    for start, end, text in said
                ]
            ]
        }

    monkeypatch.setattr(transcriber.model, "generate", generate)
    lines = transcribe(open_track(sung), transcriber, language="de")
    assert lines == [Line(0.5, 2.0, "we sing all night"), Line(2.0, 3.5, "of light")]
    # the network takes 30 s at a time, in frames of 10 ms
    assert asked["shape"] == (1, 16, 3000)
    assert (asked["language"], asked["task"], asked["return_timestamps"]) == ("de", "transcribe", True)


@given(
    st.lists(
        st.tuples(st.floats(-1, 50), st.floats(-1, 50), st.sampled_from([*WORDS, " ", "...", "<|1.00|> we"])),
        max_size=20,
    )
)
def test_lines_are_in_order_within_the_song_and_read_back(heard: list[tuple[float, float, str]]) -> None:
    lines = clean_lines(heard, 40.0)
    assert all(0 <= line.start < line.end <= 40.0 for line in lines)
    assert all(a.end <= b.start + 1e-9 for a, b in zip(lines, lines[1:], strict=False))
    assert all(line.text in WORDS for line in lines)


def test_hallucinations_on_instrumental_music_are_removed() -> None:
    lines = clean_lines([(float(at), at + 1.0, "Thank you.") for at in range(20)], 40.0)
    assert len(lines) == 4


def test_lrc_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    lines = [Line(0.5, 2.0, "we sing"), Line(2.25, 4.0, "all night"), Line(63.5, 65.0, "of light")]
    path = tmp_path / "song.lrc"
    path.write_text(lrc_text(lines))
    read, dropped = read_lyrics(path.read_text())
    assert dropped == 0
    assert [line.text for line in read] == [line.text for line in lines]
    assert [line.start for line in read] == pytest.approx([line.start for line in lines], abs=0.006)
    # the second line ends where the pause begins
    assert read[1].end == pytest.approx(4.0, abs=0.006)
    assert path.read_text().splitlines()[-1] == "[01:05.00]"


def test_the_command_line(toy_whisper: Path, sung: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    song = tmp_path / "song.wav"
    song.write_bytes(sung.read_bytes())
    said = [Line(1.0, 2.0, "we sing")]
    monkeypatch.setattr("reactive.assist.lyrics.transcribe", lambda track, found, language=None: said)
    run = CliRunner().invoke
    done = run(main, ["lyrics", str(song), "--model", str(toy_whisper), "--device", "cpu"])
    assert done.exit_code == 0, done.output
    assert "1 line in" in done.output
    assert (tmp_path / "song.lrc").read_text() == "[00:01.00]we sing\n[00:02.00]\n"
    again = run(main, ["lyrics", str(song), "--model", str(toy_whisper), "--json"])
    assert again.exit_code == 1
    assert json.loads(again.output)["error"]["remedy"].startswith("use --force")
    said.clear()
    none = run(main, ["lyrics", str(song), "--model", str(toy_whisper), "--force", "--device", "cpu"])
    assert "no words were heard" in none.output


def test_a_missing_or_wrong_model_is_one_line(
    sung: Path, toy_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "nothing"))
    run = CliRunner().invoke
    done = run(main, ["lyrics", str(sung), "-o", str(tmp_path / "a.lrc")])
    assert done.exit_code == 1
    assert "reactive models pull whisper-small" in done.output
    done = run(main, ["lyrics", str(sung), "-o", str(tmp_path / "a.lrc"), "--model", str(toy_model)])
    assert done.exit_code == 1
    assert "can't be loaded as Whisper" in done.output
    assert "Traceback" not in done.output
