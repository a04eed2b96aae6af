"""Packages that only exports need: the extra `exchange`."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from reactive.errors import ReactiveError


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
            f"needs the package {name}", where="--export", remedy="run pip install 'reactive-clip[exchange]'"
        ) from None
