"""Silence of the libraries that load models."""

from __future__ import annotations

import importlib
from typing import Any


def silence(library: str) -> None:
    """Turn off the messages and progress bars of diffusers or transformers; errors are still told."""
    logging: Any = importlib.import_module(f"{library}.utils.logging")
    logging.disable_progress_bar()
    logging.set_verbosity_error()
