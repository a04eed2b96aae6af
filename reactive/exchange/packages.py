"""Packages that only exports need: the extra `exchange`."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from reactive.errors import ReactiveError, install_line


def require_package(name: str) -> Any:
    """Import a package of the extra.

    Raises
    ------
    ReactiveError
        If it is not installed.
    """
    try:
        return import_module(name)
    except ImportError:
        raise ReactiveError(
            f"needs the package {name}", where="--export", remedy=f"run `{install_line('[exchange]')}`"
        ) from None
