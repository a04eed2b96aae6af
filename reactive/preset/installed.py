"""The folder of installed presets: the platform's folder for user data."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

PRESET_FILE = "preset.toml"


def user_presets() -> Path:
    """Return the folder of installed presets, which need not exist.

    ``REACTIVE_DATA`` names another folder than the platform's, for a portable installation.
    """
    given = os.environ.get("REACTIVE_DATA")
    return Path(given or platformdirs.user_data_path("reactive", appauthor=False)) / "presets"


def installed_names() -> list[str]:
    """Return the names of installed presets, sorted."""
    try:
        # names that begin with a dot are being installed or removed
        found = [entry.name for entry in user_presets().iterdir() if not entry.name.startswith(".")]
    except OSError:
        return []
    return sorted(name for name in found if (user_presets() / name / PRESET_FILE).is_file())
