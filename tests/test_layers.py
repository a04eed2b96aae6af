"""Packages may import only packages of lower layers, without circles."""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "reactive"
ALWAYS = {"errors", "files", "jsonfile"}
MAY_IMPORT = {
    "media": set(),
    "preset": {"media"},
    "audio": {"media"},
    "timeline": {"audio", "preset"},
    "sources": {"media"},
    "diffusion": {"media", "timeline", "sources"},
    "video": {"media"},
    "score": {"media", "audio"},
    "exchange": {"media", "timeline", "preset"},
    "render": {"media", "preset", "audio", "timeline", "sources", "diffusion", "video", "score"},
    "assist": {"media", "preset", "sources", "diffusion"},
    "live": {"media", "preset", "audio", "timeline", "sources", "diffusion", "render"},
    "studio": {"media", "preset", "audio", "timeline", "sources", "render", "video", "score", "live"},
}
OUTSIDE_CLI = ("click",)
READERS = ("av", "soundfile", "PIL")


def imports(file: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 or "ember" in file.parts, f"{file}: relative import"
            found.add(node.module or "")
    return found


def files() -> list[Path]:
    found = [file for file in PACKAGE.rglob("*.py") if "ember" not in file.relative_to(PACKAGE).parts]
    assert len(found) > 30
    return found


def modules() -> dict[str, Path]:
    """The package's modules by their full names."""
    named = {}
    for file in files():
        parts = ("reactive", *file.relative_to(PACKAGE).with_suffix("").parts)
        named[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return named


def import_graph(named: dict[str, Path]) -> dict[str, set[str]]:
    """Return the modules that each module imports: at its top, within functions, and for types only."""
    graph: dict[str, set[str]] = {}
    for name, file in named.items():
        graph[name] = set()
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                graph[name] |= {alias.name for alias in node.names} & named.keys()
            elif isinstance(node, ast.ImportFrom):
                # an imported name may be a module, or a name in one
                wanted = (f"{node.module}.{alias.name}" for alias in node.names)
                graph[name] |= {full if full in named else node.module or "" for full in wanted} & named.keys()
    return graph


def test_there_are_no_import_circles_not_even_for_types() -> None:
    graph = import_graph(modules())
    assert sum(map(len, graph.values())) > 500
    try:
        tuple(TopologicalSorter(graph).static_order())
    except CycleError as circle:
        pytest.fail(" <- ".join(circle.args[1]))


def test_the_circle_test_covers_imports_for_types_and_within_functions(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from b import B\n")
    (tmp_path / "b.py").write_text("def b():\n    import a\n")
    graph = import_graph({name: tmp_path / f"{name}.py" for name in "ab"})
    assert graph == {"a": {"b"}, "b": {"a"}}


@pytest.mark.parametrize("room", sorted(MAY_IMPORT))
def test_a_package_imports_only_lower_layers(room: str) -> None:
    allowed = MAY_IMPORT[room] | ALWAYS | {room}
    for file in (PACKAGE / room).rglob("*.py"):
        for name in imports(file):
            if name.startswith("reactive."):
                assert name.split(".")[1] in allowed, f"{file.name} imports {name}"


def test_only_the_command_line_knows_click() -> None:
    for file in files():
        if file.parent.name != "cli":
            assert not any(name.split(".")[0] in OUTSIDE_CLI for name in imports(file)), file


def test_nothing_imports_ember() -> None:
    for file in files():
        assert not any(name.startswith("reactive.ember") for name in imports(file)), file


def test_only_media_reads_by_soundfile_and_the_library_never_prints() -> None:
    for file in files():
        room = file.relative_to(PACKAGE).parts[0]
        names = {name.split(".")[0] for name in imports(file)}
        assert "soundfile" not in names or room == "media", file
        # video writes with PyAV; sources only scale decoded pictures
        assert "av" not in names or room in ("media", "video"), file
        text = file.read_text(encoding="utf-8")
        for word in ("print(", "eval(", "exec(", "yaml.load", "trust_remote_code=True"):
            calls = [
                line for line in text.splitlines() if word in line and f"_{word}" not in line and f".{word}" not in line
            ]
            assert not calls, f"{file}: {calls}"


def _is_rate(node: ast.expr) -> bool:
    """Return whether an expression is a number of frames a second, also if converted to another number type."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and len(node.args) == 1:
        return node.func.id in ("float", "Fraction", "int", "round") and _is_rate(node.args[0])
    name = node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
    return name.split("_")[-1] == "fps"


def rate_arithmetic(text: str) -> list[str]:
    """Return all multiplications with and divisions by frames a second."""
    operators = (ast.Mult, ast.Div, ast.FloorDiv, ast.Mod)
    return [
        ast.unparse(node)
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.BinOp)
        and isinstance(node.op, operators)
        and (_is_rate(node.left) or _is_rate(node.right))
    ]


def test_only_the_clock_multiplies_by_frames_a_second() -> None:
    assert len(rate_arithmetic("a = seconds * fps; b = frame / float(self.fps); c = 1 / film._fps; d = fps + 1")) == 3
    # media, video and score are layers below the clock; the other two calculate speeds, not times
    below, speeds = ("media", "video", "score"), ("live/stride.py", "exchange/deforum_import.py")
    own = {"timeline/clock.py", *speeds}
    found = {}
    for file in files():
        name = file.relative_to(PACKAGE).as_posix()
        if (
            name not in own
            and name.split("/")[0] not in below
            and (told := rate_arithmetic(file.read_text(encoding="utf-8")))
        ):
            found[name] = told
    # expressions that change the rate itself, or wait for a fraction of a frame
    assert found == {"render/export.py": ["fps / every"], "live/web/mjpeg.py": ["0.25 / fps", "0.9 / fps"]}


def test_families_are_named_in_their_own_files_only() -> None:
    """Code that depends on a model's family belongs in the family's own file."""
    from reactive.diffusion.models.families import FAMILIES

    home = PACKAGE / "diffusion" / "models" / "families"
    names = {family.name for family in FAMILIES}
    constants = {name.upper() for name in names} | {"SD", "SDXL"}
    assert len(names) >= 2
    asked = []
    for file in files():
        if file.parent == home:
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Compare):
                sides = [node.left, *node.comparators]
                named = any(isinstance(side, ast.Name) and side.id in constants for side in sides)
                about = any("family" in ast.dump(side) for side in sides)
                texts = any(
                    isinstance(part, ast.Constant) and part.value in names for side in sides for part in ast.walk(side)
                )
                if named or (about and texts):
                    asked.append(f"{file.relative_to(PACKAGE)}:{node.lineno}")
    assert not asked


def test_the_formatter_lays_out_every_file() -> None:
    mark = "# fmt" + ":"
    root = PACKAGE.parent
    laid_out = [
        file for room in ("reactive", "tests", "training", "benchmarks") for file in (root / room).rglob("*.py")
    ]
    assert len(laid_out) > 400
    assert [file for file in laid_out if mark in file.read_text(encoding="utf-8")] == []
