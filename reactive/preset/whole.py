"""Write a small file so that it appears under its name only when it is complete."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def write_whole(path: Path, data: bytes) -> None:
    """Write a file, or leave what was there as it was.

    Raises
    ------
    OSError
        If it can't be written; nothing is left behind.
    """
    with tempfile.NamedTemporaryFile("wb", dir=path.parent, delete=False) as partial:
        try:
            partial.write(data)
            partial.close()
            os.replace(partial.name, path)
        except BaseException:
            partial.close()
            Path(partial.name).unlink(missing_ok=True)
            raise
