"""The pictures that ember is trained on: authors, licences, and where they can be verified."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from PIL import Image

from training.ember.data import is_held_out, manifest_rows
from training.ember.gather import address, from_address

# the GPL asks for sources that photographs do not have, and a licence stated for the package alone is not evidence
FREE = re.compile(r"public domain|CC0-1\.0|CC-BY(-SA)?(-[234]\.[0135])?")


@pytest.mark.fast
def test_every_picture_has_a_free_licence_an_author_and_a_source() -> None:
    rows = manifest_rows()
    assert len(rows) > 1100
    assert len({row["file"] for row in rows}) == len(rows)
    assert len({(row["source"], row["path"]) for row in rows}) == len(rows)
    for row in rows:
        assert FREE.fullmatch(row["licence"]), row
        assert row["author"], row
        assert row["evidence"], row
        assert row["caption"], row
        kind, _, name = row["source"].partition(":")
        if kind == "debian":
            assert row["path"].startswith("/usr/share/"), row
        else:
            # a repository, a path in it, and the commit or the file's hash
            assert kind == "github", row
            assert re.fullmatch(r"[\w.-]+/[\w.-]+", name), row
            assert re.fullmatch(r"(blob )?[0-9a-f]{40}", row["version"]), row
            assert not row["path"].startswith("/"), row


@pytest.mark.fast
def test_packages_with_pictures_under_the_gpl_are_not_used() -> None:
    # in the first of these, two wallpapers have their own licence
    named = {row["source"]: row["evidence"] for row in manifest_rows()}
    assert not {"debian:mate-backgrounds", "debian:stellarium-data"} & set(named)
    assert "CC-BY-SA" in named.get("debian:plasma-workspace-wallpapers", "CC-BY-SA")


@pytest.mark.fast
def test_every_eighth_and_every_tenth_picture_is_held_out() -> None:
    assert [is_held_out(name) for name in ("0008.jpg", "0010.jpg", "c0008.jpg", "c0010.jpg")] == [
        True,
        False,
        False,
        True,
    ]
    held_out = sum(is_held_out(row["file"]) for row in manifest_rows())
    assert 100 < held_out < 150


@pytest.mark.fast
def test_the_export_lists_every_training_picture() -> None:
    export = pytest.importorskip("training.ember.export", reason="ember's training needs the extra [train]")
    rows = [line.split("\t") for line in export.attribution().splitlines()]
    assert rows[0][-2:] == ["author", "licence"]
    assert all(all(row) and len(row) == len(rows[0]) for row in rows)
    assert len(rows) - 1 == sum(not is_held_out(row["file"]) for row in manifest_rows())


@pytest.mark.fast
def test_a_repositorys_file_is_fetched_by_its_commit_or_hash() -> None:
    commit = "0" * 40
    assert address("a/b", commit, "c d/e.jpg") == f"https://raw.githubusercontent.com/a/b/{commit}/c%20d/e.jpg"
    assert address("a/b", f"blob {commit}", "e.jpg") == f"https://api.github.com/repos/a/b/git/blobs/{commit}"


@pytest.mark.fast
def test_a_fetched_picture_is_scaled(tmp_path: Path) -> None:
    Image.new("RGB", (1600, 800), (200, 30, 10)).save(tmp_path / "large.png")
    from_address((tmp_path / "large.png").as_uri(), tmp_path / "small.jpg")
    with Image.open(tmp_path / "small.jpg") as image:
        assert image.size == (768, 384)
