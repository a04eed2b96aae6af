"""The letters of a text whose encoding nobody tells: by its mark, as UTF-8, as UTF-16, or by the likeliest old code page."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# what was written before UTF-8: Western, Central European, Cyrillic, Greek, Turkish, Hebrew, Arabic, and the East's
_PAGES = (
    "cp1252",
    "cp1250",
    "cp1251",
    "koi8_r",
    "cp1253",
    "cp1254",
    "cp1255",
    "cp1256",
    "cp932",
    "euc_jp",
    "gb18030",
    "big5",
    "cp949",
)
_JAPANESE = ("cp932", "euc_jp")
_KANA = 0.25
# letters of the names that parts of songs have in the East: two of them are too few for statistics
_PART_NAMES = {
    "gb18030": "主副歌前间奏尾声桥段高潮过门结束开头独白念说唱引子序曲终章一二三四部导器乐回原版",
    "big5": "主副歌前間奏尾聲橋段高潮過門結束開頭獨白念說唱引子序曲終章一二三四部導器樂回原版",
    "cp932": "間奏前後歌終始大最落転調頭曲部序章番独一二三四わりまめてのアイウオクコサスタッテトドパビブメラリルロンー",
    "euc_jp": "間奏前後歌終始大最落転調頭曲部序章番独一二三四わりまめてのアイウオクコサスタッテトドパビブメラリルロンー",
    "cp949": "후렴간주인트로아웃절전브릿리지벌스코러프훅드랍랩엔딩시작끝솔파일이삼사",
}
_WESTERN, _TURKISH = "cp1252", "cp1254"
# Western too, of the Macintosh, of DOS, and with the euro
_RARE = ("mac_roman", "cp850", "iso8859_15")
_LATIN = ("cp1252", "cp1250", "cp1254")
# words of Latin letters have hardly more letters with marks than this
_FOREIGN = 0.7
# what no word has: an unknown letter, the sign of the guilder, and signs and spaces before a letter where none belong
_ODD = re.compile(
    # unknown letters, controls, boxes, the sign of the guilder
    r"[\ufffd\x80-\x9fƒ†‡ˆ‰˜\u2500-\u25ff]"
    # signs within words, and before them
    r"|(?<=\w)[–—•…„“‚‹‘]+(?=\w)|(?<!\w)[•…„‚](?=\w)"
    r"|(?<=[^\W\d_])[©®¶×÷¾¼½¢¤¥±](?=[^\W\d_])|[¦§¬¯´¸¾¼½¢¤¥±¹²³©®¶×÷](?=[^\W\d_])"
    # mathematics
    r"|[√∞∑∏π∫Ω≈∆≠≤≥◊∂⁄]"
)


def decoded(data: bytes) -> str:
    """Return the text of some bytes: by its mark, as UTF-8, as UTF-16 without a mark, or by the likeliest code page."""
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return data.decode(encoding, "replace")
    return data.decode(guessed_page(data) or ("utf-8" if 0 not in data else _wide(data)), "replace")


def guessed_page(data: bytes) -> str:
    """Return the code page that a text is most likely written in; empty where it needs no guess."""
    if any(data.startswith(mark) for mark, _ in _MARKS) or 0 in data:
        return ""
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return likeliest_page(re.sub(rb"[\[<][\d:.,\s]*[\]>]|-->", b"", data))
    return ""


def names(given: Iterable[bytes]) -> list[str]:
    """Return the short texts of one file, such as its markers: what is no UTF-8 is told by all of them together.

    Zero bytes at their ends, and spaces, are left out.
    """
    texts = [_trimmed(data) for data in given]
    old = [data for data in texts if not _is_told(data)]
    page = likeliest_page(b"\n".join(old)) if old else ""
    return [
        (decoded(data) if _is_told(data) else data.decode(page, "replace")).strip("\0 \t\r\n\ufeff") for data in texts
    ]


def likeliest_page(words: bytes) -> str:
    """Return the code page that words are most likely written in."""
    from charset_normalizer import from_bytes

    for page, known in _PART_NAMES.items():
        try:
            letters = [letter for letter in words.decode(page) if letter > "\x7f"]
        except UnicodeDecodeError:
            continue
        if letters and all(letter in known for letter in letters):
            return page
    for page in _JAPANESE:
        try:
            letters = [letter for letter in words.decode(page) if letter > "\x7f"]
        except UnicodeDecodeError:
            continue
        # hardly any other page has kana where Japanese has
        if sum("\u3040" <= letter <= "\u30ff" for letter in letters) > _KANA * len(letters):
            return page
    rare = min(_RARE, key=lambda page: _oddness(words, page))
    if _oddness(words, rare) < _oddness(words, _WESTERN) and not _oddness(words, rare):
        return rare
    text = words.decode("latin-1")
    share = sum(letter > "\x7f" for letter in text) / max(sum(letter > "@" for letter in text), 1)
    foreign = share > _FOREIGN and re.search(r"[^\x00-\x7f]{3}", text)
    pages = [page for page in _PAGES if not (foreign and page in _LATIN)]
    found = {match.encoding: match for match in from_bytes(words, cp_isolation=pages)}
    ranks = {page: (_oddness(words, page), found[page].chaos) for page in pages if page in found}
    usual = [page for page, rank in ranks.items() if rank <= min(ranks.values())]
    best = max(usual, key=lambda page: found[page].coherence, default=_WESTERN)
    seen = set(words.decode(_WESTERN, "replace").lower())
    # what is Icelandic by the one is Turkish by the other
    return _TURKISH if best == _WESTERN and seen & set("þðý") and not seen & set("áíóúæ") else best


def _oddness(words: bytes, page: str) -> int:
    """Return how many letters of words are odd by a code page: undefined ones, signs and capitals within a word."""
    text = words.decode(page, "replace")
    return len(_ODD.findall(text)) + sum(
        before.isalpha() and letter.isupper() and (before.islower() or after.islower())
        for before, letter, after in zip(text, text[1:], text[2:] + " ", strict=False)
    )


def _is_told(data: bytes) -> bool:
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or 0 in data:
        return True
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _trimmed(data: bytes) -> bytes:
    """Return a text up to its end: of UTF-16 a pair of zero bytes, else one of them."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data
    bare = data.rstrip(b"\0")
    if len(data) >= 2 and 0 in bare and (bare[1::2].count(0) or bare[::2].count(0)) >= len(bare) // 3:
        return data[: len(bare) + len(bare) % 2]
    return data.split(b"\0")[0]


def _wide(data: bytes) -> str:
    return "utf-16-le" if data[1::2].count(0) > data[::2].count(0) else "utf-16-be"
