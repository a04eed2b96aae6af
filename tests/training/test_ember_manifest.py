"""The pictures that ember learns from: whose each is, by which licence, and where that can be checked."""

from __future__ import annotations

import re

import pytest

from training.ember.data import is_held_out, manifest_rows

# GPL asks for sources that no photograph has, and what Debian says of the whole package only is no answer
FREE = re.compile(r"public domain|CC0-1\.0|CC-BY(-SA)?(-[234]\.[0135])?")


@pytest.mark.fast
def test_every_picture_is_free_and_somebodys_and_can_be_checked() -> None:
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
            # a repository, a path in it and the commit
            assert kind == "github", row
            assert re.fullmatch(r"[\w.-]+/[\w.-]+", name), row
            assert re.fullmatch(r"[0-9a-f]{40}", row["version"]), row
            assert not row["path"].startswith("/"), row


@pytest.mark.fast
def test_packages_whose_pictures_are_under_the_gpl_are_not_trained_on() -> None:
    # of the first of these two wallpapers state a licence of their own
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
