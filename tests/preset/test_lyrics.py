"""Lyrics files as found on the internet: all styles of time stamps, SRT and WebVTT, and old code pages."""

from __future__ import annotations

import codecs
from pathlib import Path

import pytest

from reactive.media.letters import decoded
from reactive.preset.lyrics import Line, load_lyrics, open_lyrics, parse_lyrics


def timed_lines(text: str) -> list[tuple[float, str]]:
    return [(line.start, line.text) for line in parse_lyrics(text)]


def test_word_time_stamps_are_removed_from_the_text() -> None:
    text = "[00:01.00]silver [00:01.40]rain [00:02.00]falls\n[00:03.00][00:03.10]on [00:03.50]the <00:03.80> roof\n[00:05.00]end"
    assert timed_lines(text) == [(1.0, "silver rain falls"), (3.0, "on the roof"), (5.0, "end")]


def test_several_stamps_with_spaces_between_them() -> None:
    assert timed_lines("[00:01.00] [00:05.00] chorus\n[00:03.00] verse") == [
        (1.0, "chorus"),
        (3.0, "verse"),
        (5.0, "chorus"),
    ]


@pytest.mark.parametrize(
    ("stamp", "seconds"),
    [
        ("[0:00:01.50]", 1.5),
        ("[1:00:01.5]", 3601.5),
        ("[00:03,50]", 3.5),
        ("[00:05.123456]", 5.123456),
        ("[00:02:25]", 2.25),
        ("[ 00:04 ]", 4.0),
        ("[100:00.00]", 6000.0),
    ],
)
def test_every_style_of_time_stamp(stamp: str, seconds: float) -> None:
    assert timed_lines(f"{stamp}words") == [(seconds, "words")]


def test_webvtt() -> None:
    text = (
        "WEBVTT\n\n00:01.000 --> 00:02.500\nsilver &amp; rain\n\n00:03.000 --> 00:04.500 align:start position:0%\n"
        "<c.yellow>on <00:03.500>the roof</c>\n\nNOTE a remark\n\n01:00:05.000 --> 01:00:06.000\nend\n"
    )
    assert timed_lines(text) == [(1.0, "silver & rain"), (3.0, "on the roof"), (3605.0, "end")]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16-le", "utf-16-be", "utf-16", "utf-32"])
@pytest.mark.parametrize("marked", [True, False])
def test_unicode_in_all_its_forms(tmp_path: Path, encoding: str, marked: bool) -> None:
    marks = {"utf-16-le": codecs.BOM_UTF16_LE, "utf-16-be": codecs.BOM_UTF16_BE}
    text = "[00:01.00]první Ádek\r\n[00:03.00]второй куплет\r\n"
    (tmp_path / "a.lrc").write_bytes((marks.get(encoding, b"") if marked else b"") + text.encode(encoding))
    assert load_lyrics(tmp_path / "a.lrc") == (Line(1, 3, "první Ádek"), Line(3, float("inf"), "второй куплет"))


@pytest.mark.parametrize(
    ("page", "words"),
    [
        ("cp1252", "[00:01.00]l’été indien\n[00:03.00]café noir"),
        ("cp1252", "[00:01.00]Der Himmel weint für dich\n[00:02.00]schöne Träume, süße Nacht"),
        ("cp1250", "[00:01.00]příliš žluťoučký kůň\n[00:03.00]úpěl ďábelské ódy"),
        ("cp1251", "[00:01.00]белый снег летит над городом\n[00:03.00]и тихо"),
        ("cp932", "[00:01.00]夜に駆ける\n[00:03.00]沈むように溶けてゆくように"),
        ("euc_jp", "[00:01.00]夜に駆ける\n[00:03.00]沈むように溶けてゆくように"),
        ("cp949", "[00:01.00]봄날의 기억\n[00:03.00]보고 싶다"),
    ],
)
def test_the_old_code_pages(page: str, words: str) -> None:
    assert decoded(words.encode(page)) == words


@pytest.mark.parametrize(
    ("text", "kept", "dropped"),
    [
        ("[ar:A band]\n[00:01.00]one\n\n[00:02.00]\n[length: 3:10]\n", 1, 0),
        ("A title\n[00:01.00]one\n  no stamp here\n[00:02.00]two\n", 2, 2),
        ("[00:01.00]one\n[00:01.00]at once\n[00:02.00]two\n", 2, 0),
        ("1\n00:00:02,000 --> 00:00:01,000\nbackwards\n\n2\n00:00:03,000 --> 00:00:04,000\nright\n", 1, 1),
        ("WEBVTT\n\nNOTE a comment\n\n00:01.000 --> 00:02.000\none\n", 1, 0),
    ],
)
def test_lines_that_are_dropped_are_counted(tmp_path: Path, text: str, kept: int, dropped: int) -> None:
    (tmp_path / "w.lrc").write_text(text)
    words = open_lyrics(tmp_path / "w.lrc")
    assert (len(words.lines), words.dropped) == (kept, dropped)
    assert len(words.notes) == bool(dropped)
    assert all(str(dropped) in note and "w.lrc" in note for note in words.notes)


def test_a_line_and_its_translation_are_merged(tmp_path: Path) -> None:
    lines = parse_lyrics("[00:01.00]夜に駆ける\n[00:03.00]two\n[00:01.00]Into the night\n[00:03.00]two\n")
    assert [(line.start, line.text) for line in lines] == [(1.0, "夜に駆ける / Into the night"), (3.0, "two")]


def test_rolling_captions_give_each_line_once() -> None:
    lines = parse_lyrics(
        "WEBVTT\nKind: captions\n\n00:00:01.000 --> 00:00:03.000 align:start position:0%\n \nhello<00:00:01.500><c> there</c>\n\n"
        "00:00:03.000 --> 00:00:03.010\nhello there\n \n\n"
        "00:00:03.010 --> 00:00:05.000\nhello there\nsecond<00:00:04.000><c> line</c>\n"
    )
    assert [(line.start, line.text) for line in lines] == [(1.0, "hello there"), (3.01, "second line")]
    # other songs may repeat a line
    twice = "WEBVTT\n\n00:01.000 --> 00:02.000\nla la\n\n00:02.000 --> 00:03.000\nla la\n"
    assert [line.text for line in parse_lyrics(twice)] == ["la la", "la la"]


def test_a_line_of_spaces_ends_a_block_of_srt() -> None:
    text = "1\n00:00:01,000 --> 00:00:02,000\none\n \n2\n00:00:03,000 --> 00:00:04,000\ntwo\n"
    assert [line.text for line in parse_lyrics(text)] == ["one", "two"]


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("1\n0:0:1,0 --> 0:0:2,5\none\n", [(1.0, 2.5, "one")]),
        ("1\n00:00:01,000 -> 00:00:02,000\none\n", [(1.0, 2.0, "one")]),
        ("1\n00: 00: 01, 000 --> 00: 00: 02, 000\none\n", [(1.0, 2.0, "one")]),
        (
            "1\n00:00:01,000 --> 00:00:02,000\none\n2\n00:00:03,000 --> 00:00:04,000\n\n24 hours\n",
            [(1.0, 2.0, "one"), (3.0, 4.0, "24 hours")],
        ),
        ("0:00:01.000,0:00:02.000\none\n\n0:00:03.000,0:00:04.000\ntwo\n", [(1.0, 2.0, "one"), (3.0, 4.0, "two")]),
    ],
    ids=["digits", "arrow", "spaces", "blank lines", "sbv"],
)
def test_captions_of_various_programs(text: str, lines: list[tuple[float, float, str]]) -> None:
    assert [(line.start, line.end, line.text) for line in parse_lyrics(text)] == lines


def test_syllable_time_stamps_do_not_split_words() -> None:
    (line,) = parse_lyrics("[00:01.00]<00:01.00>sil<00:01.20>ver <00:01.40>rain")
    assert line.text == "silver rain"
    (line,) = parse_lyrics("[00:01.00]<00:01.00>夜<00:01.20>に<00:01.40>駆ける")
    assert line.text == "夜に駆ける"
    (line,) = parse_lyrics("[00:01.00]silver<00:01.40>rain")
    assert line.text == "silver rain"


@pytest.mark.parametrize(
    ("page", "words"),
    [
        ("mac_roman", "l’été indien, über den Flüssen"),
        ("cp850", "l'été à Köln, die Flüsse"),
        ("cp1254", "Güneş doğuyor, ışık"),
        ("iso8859_15", "l'été à Köln, l'œuvre"),
    ],
)
def test_rarer_code_pages(page: str, words: str) -> None:
    assert decoded(f"[00:01.00]{words}".encode(page)) == f"[00:01.00]{words}"
