"""The gallery of presets, bundles that are read before they are installed, and the language's page."""

from __future__ import annotations

import base64
import json
import re
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image

from reactive.cli import main
from reactive.errors import PresetError
from reactive.preset.gallery import ANIMATIONS, POSTERS, Shown, gallery_page, picture_in, takes
from reactive.preset.library import find_preset, get_preset, shipped_names
from reactive.preset.reference import language_page
from reactive.preset.schema import parse_preset

HOSTILE = """
version = 2
title = "<script>alert(1)</script>"
description = 'a "quoted" & <b>bold</b> one'
[[macro]]
name = "storm"
default = 0.5
description = "more <i>wind</i>"
[[phase]]
name = "a"
mode = "photo"
prompts = ["sea"]
"""


@pytest.fixture(autouse=True)
def own_presets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REACTIVE_DATA", str(tmp_path / "data"))


def done(*arguments: str) -> str:
    result = CliRunner().invoke(main, ["preset", *arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


class Tags(HTMLParser):
    """The tags of a page with their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def test_the_gallery_has_every_preset_with_its_pictures(tmp_path: Path) -> None:
    done("list", "--gallery", str(tmp_path / "g.html"))
    text = (tmp_path / "g.html").read_text()
    tags = Tags(text).found
    assert [given["id"] for tag, given in tags if tag == "article"] == shipped_names()
    pictures = [given["src"] or "" for tag, given in tags if tag == "img"]
    assert len(pictures) == 2 * len(shipped_names())
    moving = 0
    for source in pictures:
        kind, _, data = source.partition(";base64,")
        assert kind in ("data:image/jpeg", "data:image/webp")
        with Image.open(BytesIO(base64.b64decode(data))) as picture:
            moving += getattr(picture, "n_frames", 1) > 10
    assert moving == len(shipped_names())
    # nothing is loaded and nothing is run
    assert not [tag for tag, _ in tags if tag in ("script", "link", "iframe", "object")]
    assert not re.findall(r"(?:src|href)=\"(?!data:)", text)


def test_what_a_preset_takes_is_said() -> None:
    assert takes(get_preset("drift")) == [] or "photographs" in takes(get_preset("drift"))[0]
    assert "words" in takes(get_preset("sung"))[-1]
    assert "paper, light, sea" in takes(get_preset("double-exposure"))[0]


def test_words_of_a_preset_are_never_markup(tmp_path: Path) -> None:
    page = gallery_page([Shown("evil", tmp_path, parse_preset(HOSTILE, where="x"), "installed")])
    names = {tag for tag, _ in Tags(page).found}
    assert not names & {"script", "b", "i"}
    assert "&lt;script&gt;" in page
    assert "no moving picture" in page
    assert "storm" in page


def test_every_shipped_preset_has_a_poster_and_a_moving_picture() -> None:
    for name in shipped_names():
        folder = find_preset(name).parent
        assert picture_in(folder, POSTERS) is not None, name
        moving = picture_in(folder, ANIMATIONS)
        assert moving is not None, name
        assert moving.stat().st_size < 400_000, name


def test_a_bundle_is_shown_and_checked_before_it_is_installed(tmp_path: Path) -> None:
    bundle = str(tmp_path / "drift.reactive")
    done("pack", "drift", "-o", bundle)
    plain = done("show", "drift").splitlines()
    assert done("show", bundle).splitlines()[1:] == plain[1:]
    assert "valid preset" in done("check", bundle)
    assert json.loads(done("check", bundle, "--json"))["title"] == "Drift"
    assert not (tmp_path / "data").exists()
    damaged = tmp_path / "bad.reactive"
    damaged.write_bytes(Path(bundle).read_bytes()[:-9])
    for command in ("show", "check"):
        result = CliRunner().invoke(main, ["preset", command, str(damaged)])
        assert result.exit_code == 1
        assert "bad.reactive" in result.stderr


def test_the_list_tells_installed_from_shipped_presets(tmp_path: Path) -> None:
    done("fork", "drift", "my-drift")
    rows = {row["name"]: row["origin"] for row in json.loads(done("list", "--json"))["presets"]}
    assert rows["my-drift"] == "installed"
    assert {origin for name, origin in rows.items() if name != "my-drift"} == {"ships"}
    (line,) = [line for line in done("list").splitlines() if line.startswith("my-drift")]
    assert line.split()[1] == "installed"


def test_the_languages_page_is_printed_whole_or_by_word() -> None:
    assert done("language").strip() == language_page().strip()
    assert "`ground.parallax`" in done("language", "parallax")
    assert "`[[pin]]`" not in done("language", "parallax")
    with pytest.raises(PresetError, match="xyzzy"):
        language_page("xyzzy")


def test_a_gallery_is_an_html_file(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["preset", "list", "--gallery", str(tmp_path / "g.txt")])
    assert result.exit_code == 1
    assert ".html" in result.stderr
