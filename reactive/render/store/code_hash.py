"""The version of the code: one hash over the source and weights that decide pictures, and nothing else.

It is part of every key, so it must change when a picture may change, and must not change when none can: bytecode, dates,
READMEs, training code, the preview and the command line do not count. The modules that decide pictures are found by following
the imports from where a clip is decided, rendered and written.
"""

from __future__ import annotations

import ast
import hashlib
import json
from contextlib import suppress
from functools import cache
from pathlib import Path

from reactive.files import cache_root, write_text
from reactive.jsonfile import parse_json

PACKAGE = Path(__file__).resolve().parents[2]
# where a clip is decided, rendered and written
_ROOTS = ("render.resolve", "render.workers.segment_renderer", "render.assemble")
# bookkeeping of a render and error messages; no picture depends on them
_ASIDE = frozenset(
    {
        "__init__",
        "errors",
        "files",
        "render.request",
        "render.store.segments",
        "render.clip",
        "render.store.code_hash",
        "render.inputs",
        "render.store.job",
        "render.store.journal",
        "render.store.cache_keys",
        "render.store.lease",
        "render.recipe",
        "render.settings",
        "preset.describe",
        "preset.installed",
        "timeline.report",
    }
)
# weights, vocabularies and configurations that the code beside them reads
_DATA = (".json", ".safetensors", ".txt")


@cache
def code_hash() -> str:
    """Return one hash over the code that decides pictures, 12 hexadecimal digits: a change of it is a change of version.

    Reading the imports takes a second, so the result is kept until a file of the package is changed, added or removed.
    """
    state, kept = _state_of(PACKAGE), cache_root() / "code-hash.json"
    try:
        data = parse_json(kept.read_bytes())
        if data["state"] == state and len(data["hash"]) == 12:
            return str(data["hash"])
    except (OSError, ValueError, LookupError, TypeError):
        pass
    found = hash_of(PACKAGE)
    with suppress(OSError):
        kept.parent.mkdir(parents=True, exist_ok=True)
        write_text(kept, json.dumps({"state": state, "hash": found}))
    return found


def _state_of(package: Path) -> str:
    """Return a hash over the names, sizes and times of all files of the package that may decide pictures."""
    found = hashlib.sha256(str(package).encode())
    for file in sorted(package.rglob("*")):
        if file.suffix in (".py", *_DATA):
            status = file.stat()
            # also when it was installed: files of two builds may have one size and date
            found.update(
                f"{file} {status.st_size} {status.st_mtime_ns} {status.st_ctime_ns} {status.st_ino}\n".encode()
            )
    return found.hexdigest()


def hash_of(package: Path) -> str:
    """Return the hash of a copy of the package, wherever it is and however its lines end."""
    found = hashlib.sha256()
    for file in deciding_files(package):
        data = file.read_bytes()
        if file.suffix != ".safetensors":
            # a checkout on Windows may have other line ends
            data = data.replace(b"\r\n", b"\n")
        found.update(f"{file.relative_to(package).as_posix()} {len(data)}\n".encode())
        found.update(data)
    return found.hexdigest()[:12]


def deciding_files(package: Path) -> list[Path]:
    """Return the files that decide pictures, sorted by their names: modules, and the data that lies in their rooms."""
    modules: set[Path] = set()
    waiting = [package / f"{root.replace('.', '/')}.py" for root in _ROOTS]
    while waiting:
        file = waiting.pop()
        if file in modules:
            continue
        modules.add(file)
        waiting += _imported(file, package)
    rooms = {package / file.relative_to(package).parts[0] for file in modules}
    data = {file for room in rooms for file in room.rglob("*") if file.suffix in _DATA and file.is_file()}
    return sorted(modules | data, key=lambda file: file.relative_to(package).as_posix())


def _imported(file: Path, package: Path) -> list[Path]:
    """Return the package's modules that a module imports, at its top or in its functions."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_bytes())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            # what is imported from a package may be a module of it
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    own = {name.partition(".")[2] for name in names if name.startswith("reactive.")} - _ASIDE
    return [path for name in own if (path := package / f"{name.replace('.', '/')}.py").is_file()]
