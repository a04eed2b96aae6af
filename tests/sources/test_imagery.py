"""The bundled library of photographs: freely licensed, with authors, small, and searchable by words."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reactive.errors import MediaError
from reactive.files import hash_file
from reactive.media.picture import read_picture
from reactive.sources import imagery
from reactive.sources.imagery import Entry, find_picture, library, match, match_all, own_pictures, pictures_in, ranked
from reactive.sources.wording import shared_words, stem, stems

# licences without conditions for a band: no attribution, no share-alike
FREE = re.compile(
    r"CC0-1\.0|public domain( \((US government: [^()]+|.*died over 70 years ago)\))?(; edition CC0-1\.0)?"
)
LARGEST = 24 * 1024 * 1024


def entry(name: str, caption: str, *tags: str) -> Entry:
    return Entry(name, Path(f"{name}.jpg"), caption, tags)


def photograph(path: Path, **saving: object) -> Path:
    Image.fromarray(np.full((32, 48, 3), 90, np.uint8)).save(path, **saving)
    return path


SHELF = (
    entry("bridge", "old stone bridge over a river", "bridge", "river"),
    entry("ship", "sailing ship in a storm at sea", "ship", "storm", "sea"),
    entry("forest", "tall trees in a misty forest", "forest", "fog"),
    entry("city", "city at night with towers", "city", "night", "tower"),
)


@pytest.mark.fast
def test_every_picture_has_a_free_licence_an_author_and_a_source() -> None:
    with imagery.MANIFEST.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    assert 150 <= len(rows) <= 300
    assert tuple(rows[0]) == imagery.COLUMNS
    for row in rows:
        assert FREE.fullmatch(row["licence"]), row
        assert row["author"], row
        assert row["caption"], row
        assert row["source"].startswith("https://"), row
        assert row["path"], row
        assert re.search(r"[0-9a-f]{7,40}", row["commit"]), row
        assert all(0 <= float(part) <= 1 for part in row["focus"].split(",")), row
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*", row["name"]), row


def test_every_picture_opens_and_is_unchanged() -> None:
    with imagery.MANIFEST.open(encoding="utf-8", newline="") as file:
        hashes = {row["name"]: row["sha256"] for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)}
    entries = library()
    assert {one.path for one in entries} == set(imagery.FOLDER.glob("*.webp"))
    assert sum(one.path.stat().st_size for one in entries) <= LARGEST
    for one in entries:
        assert hash_file(one.path) == hashes[one.name], one.name
        with Image.open(one.path) as image:
            width, height = image.size
            assert image.format == "WEBP", one.name
        assert width * 9 == height * 16, one.name
        assert 600 < width <= 1280, one.name
    # one of each kind is fully decoded
    for one in entries[:: len(entries) // 8]:
        assert read_picture(one.path).std() > 5, one.name


@pytest.mark.fast
def test_a_picture_is_found_by_its_name() -> None:
    assert find_picture("lighthouse").path.is_file()
    with pytest.raises(MediaError, match="lighthouse"):
        find_picture("lighthuose")


@pytest.mark.fast
@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("towers", "tower"),
        ("waves", "wave"),
        ("cities", "city"),
        ("burning", "burned"),
        ("running", "runs"),
        ("ruined", "ruins"),
        ("misty", "fog"),
        ("branches", "branch"),
        ("glasses", "glass"),
        ("frozen", "freezing"),
        ("broken", "breaking"),
        ("leaves", "leaf"),
        ("churches", "church"),
    ],
)
def test_forms_of_a_word_match(one: str, other: str) -> None:
    assert stem(one) == stem(other)


@pytest.mark.fast
@pytest.mark.parametrize(("one", "other"), [("sing", "s"), ("moss", "moth"), ("bed", "b"), ("stage", "star")])
def test_different_words_do_not_match(one: str, other: str) -> None:
    assert stem(one) != stem(other)


@pytest.mark.fast
def test_words_for_colour_light_and_grammar_are_ignored() -> None:
    assert stems("glowing crimson light over the black and golden darkness") == frozenset()
    assert stems("a crimson tower over black water") == {stem("tower"), stem("water")}


@pytest.mark.fast
def test_rare_words_count_more() -> None:
    texts = ["sea and ship", "sea and stone", "sea and sand", "sea and sky", "mountain"]
    ship, stone, *_, mountain = shared_words("a ship on the sea", texts)
    assert ship > 0.9 > stone > mountain == 0
    assert shared_words("a thing unheard of", texts) == [0.0] * 5


@pytest.mark.fast
def test_the_picture_with_the_prompts_words_is_selected() -> None:
    found = match("violet storm above a burning ship", SHELF)
    assert found is not None
    assert (found.entry.name, found.how) == ("ship", "words")
    other = match("violet storm above a burning ship", SHELF, taken=["ship"])
    assert other is None or other.entry.name != "ship"


def test_embeddings_are_used_if_no_word_matches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imagery, "MEANING", 0.5)
    found = match("urban skyscrapers", SHELF)
    assert found is not None
    assert (found.entry.name, found.how) == ("city", "meaning")
    assert imagery.MEANING <= found.score <= 1


def test_without_a_match_there_is_no_picture() -> None:
    assert match("a plate of noodles", SHELF) is None
    assert match("", SHELF) is None
    assert match("a bridge", ()) is None


def test_no_picture_repeats_within_eight_prompts() -> None:
    prompts = ["a lighthouse on rocks", "a ruined temple", "city towers at night", "a bridge"] * 6
    names = [found.entry.name for found in match_all(prompts) if found]
    assert len(names) == len(prompts)
    for place, name in enumerate(names):
        assert name not in names[max(place - imagery.APART + 1, 0) : place]


def test_the_bands_own_pictures_come_first() -> None:
    own = (entry("ours.jpg", "our old lighthouse"),)
    first, other = match_all(["a lighthouse", "a galaxy of stars"], own)
    assert first is not None
    assert first.entry.name == "ours.jpg"
    assert other is not None
    assert not other.entry.own


@pytest.mark.fast
def test_pictures_without_metadata_take_turns() -> None:
    own = tuple(Entry(f"IMG_{number}.jpg", Path(f"IMG_{number}.jpg")) for number in range(3))
    found = match_all(["a lighthouse", "a bridge", "a ship", "a forest"], own)
    assert [one.entry.name if one else None for one in found] == ["IMG_0.jpg", "IMG_1.jpg", "IMG_2.jpg", "IMG_0.jpg"]
    assert {one.how for one in found if one} == {"turns"}


@pytest.mark.fast
def test_metadata_of_the_bands_own_pictures(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010E] = "the drummer's van in the snow"
    xmp = (
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        b'<rdf:Description xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:description><rdf:Alt>'
        b'<rdf:li xml:lang="x-default">a pier at\n dawn</rdf:li></rdf:Alt></dc:description></rdf:Description></rdf:RDF></x:xmpmeta>'
    )
    given = {
        "listed.jpg": "the hall before the show",
        "DSC0001.jpg": "the drummer's van in the snow",
        "IMG_2.jpg": "a pier at dawn",
        "old-harbour_02.png": "old harbour",
        "redBarn.png": "red barn",
        "IMG_20240101_123456.jpg": "",
        "20240101_123456.jpg": "",
    }
    photograph(tmp_path / "listed.jpg")
    photograph(tmp_path / "DSC0001.jpg", exif=exif)
    photograph(tmp_path / "IMG_2.jpg", xmp=xmp)
    for name in list(given)[3:]:
        photograph(tmp_path / name)
    (tmp_path / "captions.tsv").write_text(
        "listed.jpg\tthe hall  before the show\nnot there.jpg\tno\n", encoding="utf-8"
    )
    paths = pictures_in(tmp_path)
    assert {path.name for path in paths} == set(given)
    assert {one.name: one.caption for one in own_pictures(paths)} == given
    assert all(one.own for one in own_pictures(paths))


@pytest.mark.fast
def test_xmp_with_entity_definitions_is_not_read(tmp_path: Path) -> None:
    bomb = (
        b'<!DOCTYPE x [<!ENTITY a "aaaa">]><x xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>&a;</dc:title></x>'
    )
    (found,) = own_pictures([photograph(tmp_path / "IMG_1.jpg", xmp=bomb)])
    assert found.caption == ""


@pytest.mark.fast
def test_a_folder_without_photographs_is_reported(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="holds no photograph"):
        pictures_in(tmp_path)
    with pytest.raises(MediaError, match="not a folder"):
        pictures_in(tmp_path / "gone")
    (tmp_path / "captions.tsv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(MediaError, match="table of captions"):
        own_pictures([photograph(tmp_path / "a.jpg")])


def test_ranked_sorts_by_words_then_by_embeddings() -> None:
    found = list(ranked("ruined temple columns", library()))
    ways = [one.how for one in found]
    assert ways == sorted(ways, reverse=True)
    assert len({one.entry.name for one in found}) == len(found)
    for way in ("words", "meaning"):
        scores = [one.score for one in found if one.how == way]
        assert scores == sorted(scores, reverse=True)
