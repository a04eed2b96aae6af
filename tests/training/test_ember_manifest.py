"""The pictures that ember learns from: whose each is, by which licence, and where that can be checked."""

from __future__ import annotations

import re

import pytest

from training.ember.data import manifest_rows

# GPL asks for sources that no photograph has, and what Debian says of the whole package only is no answer
FREE = re.compile(r"public domain|CC0-1\.0|CC-BY(-SA)?-[34]\.0")


@pytest.mark.fast
def test_every_picture_is_free_and_somebodys() -> None:
    rows = manifest_rows()
    assert len(rows) > 280
    assert len({row["file"] for row in rows}) == len(rows)
    for row in rows:
        assert FREE.fullmatch(row["licence"]), row
        assert row["author"], row
        assert row["debian_package"], row
        assert row["path_in_package"].startswith("/usr/share/"), row
        assert row["caption"], row


@pytest.mark.fast
def test_packages_whose_pictures_are_under_the_gpl_are_not_trained_on() -> None:
    packages = {row["debian_package"] for row in manifest_rows()}
    assert not packages & {"plasma-workspace-wallpapers", "mate-backgrounds", "stellarium-data"}
