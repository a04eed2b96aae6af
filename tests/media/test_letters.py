"""Short texts in old encodings: markers and track names."""

from __future__ import annotations

import pytest

from reactive.media.letters import decoded, names

WESTERN = [["Réfrain"], ["Brücke", "Überleitung"], ["Canción", "Señal"], ["Été"], ["Pont", "Couplet à deux"], ["Naïve"]]


@pytest.mark.parametrize("page", ["cp1252", "mac_roman", "utf-8", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("words", WESTERN, ids=lambda words: words[0])
def test_names_of_western_songs(words: list[str], page: str) -> None:
    assert names([word.encode(page) for word in words]) == words


@pytest.mark.parametrize(
    ("page", "words"),
    [
        ("cp932", ["Aメロ", "サビ", "間奏"]),
        ("cp932", ["歌", "前奏"]),
        ("euc_jp", ["サビ", "間奏"]),
        *[("euc_jp", [name]) for name in ("間奏", "歌", "後奏")],
        *[
            ("gb18030", [name])
            for name in ("主歌", "副歌", "前奏", "间奏", "尾奏", "桥段", "高潮", "过门", "歌", "主歌1")
        ],
        *[("big5", [name]) for name in ("主歌", "副歌", "前奏", "間奏", "橋段", "結束")],
        *[("cp949", [name]) for name in ("후렴", "간주", "인트로", "절", "전주", "브릿지", "1절")],
        ("cp1251", ["Куплет"]),
        ("cp1250", ["Zażółć gęślą", "Refren"]),
        ("cp1253", ["Ρεφρέν"]),
        ("utf-16", ["サビ"]),
    ],
)
def test_names_of_other_scripts(page: str, words: list[str]) -> None:
    assert names([word.encode(page) for word in words]) == words


@pytest.mark.parametrize("word", ["Straße", "Maß", "É", "à deux", "Señal", "Þórr", "«encore»"])
def test_western_words_are_no_names_of_the_east(word: str) -> None:
    assert names([word.encode("cp1252")]) == [word]


def test_zero_bytes_at_the_end_are_removed() -> None:
    assert names([b"Verse\0", b"Drop\0\0rest", "Né".encode("utf-16") + b"\0\0", b""]) == ["Verse", "Drop", "Né", ""]


def test_an_undetectable_encoding_still_gives_text() -> None:
    for data in (bytes(range(256)), b"\xff", b"\x80\x81\x82", b"\xfe\xff\xd8"):
        assert isinstance(decoded(data), str)
        assert len(names([data])) == 1
