"""Make the notebook of a script whose cells begin with ``# %%``: ``python examples/make_notebook.py``."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

SCRIPT = Path(__file__).parent / "first_clip.py"
_CELL = re.compile(r"^# %%(.*)\n", re.MULTILINE)


def notebook(text: str) -> nbformat.NotebookNode:
    """Return a notebook without outputs; the same text always gives the same one."""
    _, *parts = _CELL.split(text)
    cells = []
    for number, (kind, source) in enumerate(zip(parts[::2], parts[1::2], strict=True)):
        if kind.strip() == "[markdown]":
            words = "\n".join(line.removeprefix("#").removeprefix(" ") for line in source.strip().splitlines())
            cells.append(new_markdown_cell(words, id=f"cell-{number}"))
        else:
            cells.append(new_code_cell(source.strip(), id=f"cell-{number}"))
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    return new_notebook(cells=cells, metadata=kernel)


if __name__ == "__main__":
    SCRIPT.with_suffix(".ipynb").write_text(
        nbformat.writes(notebook(SCRIPT.read_text(encoding="utf-8"))) + "\n", encoding="utf-8"
    )
