"""Bundles: a preset with all its files in one file that a band can send.

A bundle is a zip file that holds ``manifest.json`` and then the files of the preset's folder by name, uncompressed and
with one fixed date, so the same folder always gives the same bytes. A bundle is only data: the contents of every file are
checked before the preset appears under its name, and it appears complete or not at all.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from reactive import __version__
from reactive.errors import MediaError, PresetError
from reactive.files import hash_file, replacing
from reactive.media.safe import fault_of, regular_file
from reactive.preset.archive import ZipEntry, name_fault, read_entries, unpack
from reactive.preset.contents import MANIFEST, check_content, check_texts, files_of, kind_of
from reactive.preset.installed import PRESET_FILE, installed_names, user_presets
from reactive.preset.library import find_preset, shipped_names

SUFFIX = ".reactive"
MAX_MANIFEST = 1_000_000
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,63}", re.ASCII)
_DATE = (1980, 1, 1, 0, 0, 0)
_FACTS = ("title", "description", "author", "licence", "model")

Words = Annotated[str, Field(max_length=4000)]


class FileNote(BaseModel):
    """A file's entry in a manifest."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    bytes: int = Field(ge=0)


class Manifest(BaseModel):
    """A bundle's manifest: `model` is the stronger model that suits it, `reactive` the version that it needs."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    format: Literal["reactive-bundle"]
    version: Literal[1]
    name: str
    title: Words
    description: Words
    author: Words
    licence: Words
    model: Words
    reactive: str = Field(pattern=r"^[0-9]{1,4}(\.[0-9]{1,4}){0,2}$")
    files: dict[str, FileNote]


@dataclass(frozen=True)
class Packed:
    """A written bundle: its manifest, and the files of the folder that were left out."""

    path: Path
    manifest: Manifest
    left_out: tuple[str, ...]


@dataclass(frozen=True)
class Installed:
    """A preset in the user's folder; `fresh` is False if the same one was installed already."""

    name: str
    folder: Path
    manifest: Manifest
    fresh: bool


def pack(source: str, out: Path, *, overwrite: bool = False) -> Packed:
    """Write a preset, given by name, folder or file, as a bundle; the same input gives the same bytes.

    Raises
    ------
    PresetError
        If the preset or a file beside it is not fit to be shared, it names no author or licence, or `out` can't be written.
    """
    file = find_preset(source, option="")
    if file.name == PRESET_FILE:
        name, (files, left) = file.resolve().parent.name, files_of(file.parent)
    else:
        name, files, left = file.stem, {PRESET_FILE: file}, []
    name = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    _check_name(name, where=str(file))
    if out.suffix != SUFFIX:
        raise PresetError("is no name for a bundle", where=str(out), remedy=f"let it end in {SUFFIX}")
    if out.exists() and (out.is_dir() or not overwrite):
        raise PresetError("exists already", where=str(out), remedy="choose another name with -o, or pass --overwrite")
    for inside, path in files.items():
        check_content(path, inside)
    notes = {inside: FileNote(sha256=hash_file(path), bytes=path.stat().st_size) for inside, path in files.items()}
    manifest = _manifest(files[PRESET_FILE], name, __version__, notes, where=str(file))
    words = check_texts(file, str(file)).lyrics.file
    if words and words not in files:
        raise PresetError(f'names the file "{words}", which is not beside it', where=str(file), remedy="put it there")
    for fact in ("author", "licence"):
        if not getattr(manifest, fact).strip():
            raise PresetError(f"names no {fact}", where=str(file), remedy=f'write {fact} = "..." into it')
    try:
        with replacing(out) as partial, zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as archive:
            archive.writestr(_info(MANIFEST), _text_of(manifest))
            for inside, path in files.items():
                with path.open("rb") as reading, archive.open(_info(inside), "w") as writing:
                    shutil.copyfileobj(reading, writing, 1 << 20)
    except OSError as problem:
        raise _unwritable(out, problem) from None
    return Packed(out, manifest, tuple(left))


def install(path: Path, *, name: str | None = None, replace: bool = False) -> Installed:
    """Install a bundle under its own name, or under another.

    Parameters
    ----------
    path
        The bundle's file.
    name
        The name to install it under. Default: its own.
    replace
        Whether to replace another installed preset of that name.

    Raises
    ------
    PresetError, MediaError
        If it is unsafe, damaged, made for a newer version, or its name is taken; nothing is left behind then.
    """
    checked, where = regular_file(path), path.name
    with checked.open("rb") as handle:
        entries = {entry.name: entry for entry in read_entries(handle, where=where)}
        manifest = _read_manifest(handle, entries, where)
        target = _free_name(name or manifest.name)
        if target.exists() or target.is_symlink():
            if not target.is_symlink() and _same(target, manifest):
                return Installed(target.name, target, manifest, fresh=False)
            if not replace:
                raise PresetError(
                    f"another preset called {target.name} is installed",
                    where=where,
                    remedy="choose another name with --as NAME, or pass --replace",
                )

        def fill(folder: Path) -> None:
            _unpack_checked(handle, entries, manifest, folder, where)
            (folder / MANIFEST).write_text(_text_of(manifest), encoding="utf-8")

        _appear(target, fill, replace=replace)
    return Installed(target.name, target, manifest, fresh=True)


@contextlib.contextmanager
def unpacked(path: Path) -> Iterator[tuple[Path, Manifest]]:
    """Yield the preset file of a bundle that is not installed, in a temporary folder, and its manifest.

    Raises
    ------
    PresetError, MediaError
        As `install`; nothing is left behind.
    """
    checked, where = regular_file(path), path.name
    with checked.open("rb") as handle, tempfile.TemporaryDirectory(prefix="reactive-bundle-") as room:
        entries = {entry.name: entry for entry in read_entries(handle, where=where)}
        manifest = _read_manifest(handle, entries, where)
        folder = Path(room) / manifest.name
        folder.mkdir()
        _unpack_checked(handle, entries, manifest, folder, where)
        yield folder / PRESET_FILE, manifest


def _unpack_checked(handle: Any, entries: dict[str, ZipEntry], manifest: Manifest, folder: Path, where: str) -> None:
    """Unpack a bundle's files into a folder, check them, and that its manifest agrees with its preset."""
    for entry in entries.values():
        if entry.name != MANIFEST:
            _take(handle, entry, folder, manifest, where)
    told = _manifest(folder / PRESET_FILE, manifest.name, manifest.reactive, manifest.files, where=where)
    if told != manifest:
        raise PresetError("its manifest says otherwise than its preset", where=where, remedy="do not trust it")


def remove(name: str) -> Path:
    """Remove an installed preset and return where it was.

    Raises
    ------
    PresetError
        If none of that name is installed, or it ships with the program.
    """
    if name in shipped_names():
        raise PresetError("ships with reactive and stays", where=name, remedy="remove what you installed yourself")
    if name not in installed_names():
        known = ", ".join(installed_names()) or "none"
        raise PresetError("no such preset is installed", where=name, remedy=f"installed are: {known}")
    folder = user_presets() / name
    try:
        if folder.is_symlink():
            folder.unlink()
            return folder
        # hidden in one step, so that a half-removed preset is never found
        hidden = Path(tempfile.mkdtemp(prefix=f".{name}.", dir=folder.parent))
        os.replace(folder, hidden / name)
    except OSError as problem:
        raise _unwritable(folder, problem) from None
    shutil.rmtree(hidden, ignore_errors=True)
    return folder


def export(name: str, folder: Path) -> list[str]:
    """Copy a preset's files to a new folder, to edit or to keep, and return their names.

    Raises
    ------
    PresetError
        If there is no such preset, or the folder exists or can't be written.
    """
    file = find_preset(name, option="")
    files = files_of(file.parent)[0] if file.name == PRESET_FILE else {PRESET_FILE: file}
    _appear(folder, lambda partial: _copy(files, partial))
    return list(files)


def fork(name: str, new: str) -> Path:
    """Install a copy of a preset under a new name, with a line that names the original; return its file.

    Raises
    ------
    PresetError
        If there is no such preset, or the new name is taken or not valid.
    """
    file = find_preset(name, option="")
    files = files_of(file.parent)[0] if file.name == PRESET_FILE else {PRESET_FILE: file}
    preset = check_texts(file, str(file))
    target = _free_name(new)
    if target.exists() or target.is_symlink():
        raise PresetError("is installed already", where=new, remedy="choose another name")
    credit = f"# forked from {preset.title}" + (f" by {preset.author}" if preset.author else "")
    origin = f"{credit} (sha256 {hash_file(file)})\n"

    def fill(folder: Path) -> None:
        _copy(files, folder)
        text = (folder / PRESET_FILE).read_text(encoding="utf-8-sig")
        (folder / PRESET_FILE).write_text(origin + text, encoding="utf-8")

    _appear(target, fill)
    return target / PRESET_FILE


def _manifest(file: Path, name: str, needed: str, notes: dict[str, FileNote], *, where: str) -> Manifest:
    preset = check_texts(file, where)
    facts = {fact: str(getattr(preset, fact)) for fact in _FACTS}
    return Manifest(format="reactive-bundle", version=1, name=name, reactive=needed, files=notes, **facts)


def _text_of(manifest: Manifest) -> str:
    return json.dumps(manifest.model_dump(), indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _info(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, _DATE)
    # the same on every system
    info.create_system, info.external_attr = 3, 0o100644 << 16
    return info


def _read_manifest(handle: Any, entries: dict[str, ZipEntry], where: str) -> Manifest:
    """Return the manifest of an archive after checking that it lists exactly its files."""
    if MANIFEST not in entries or entries[MANIFEST].size > MAX_MANIFEST:
        raise PresetError("has no manifest", where=where, remedy="ask for a bundle written by `reactive preset pack`")
    text = io.BytesIO()
    unpack(handle, entries[MANIFEST], text, where=where)
    try:
        manifest = Manifest.model_validate_json(text.getvalue())
    except ValidationError as problem:
        error = problem.errors(include_url=False, include_input=False)[0]
        key = ".".join(str(part) for part in error["loc"])[:80]
        raise PresetError(
            f"its manifest is wrong at {key or 'its start'}: {error['msg'][:120]}",
            where=where,
            remedy="update reactive-clip, or ask for it again",
        ) from None
    _check_name(manifest.name, where=where)
    for fact in _FACTS:
        fault = fault_of(getattr(manifest, fact))
        if fault:
            raise PresetError(f"the {fact} in its manifest {fault}", where=where, remedy="do not trust it")
    if _numbers(manifest.reactive) > _numbers(__version__):
        raise PresetError(f"needs reactive {manifest.reactive}", where=where, remedy="update reactive-clip")
    listed, there = set(manifest.files), set(entries) - {MANIFEST}
    if listed != there or PRESET_FILE not in there:
        odd = min(listed ^ there, default=PRESET_FILE)
        raise PresetError(
            f'its manifest and its files differ about "{odd[:60]}"', where=where, remedy="ask for it again"
        )
    for name in sorted(there):
        if kind_of(name) is None:
            raise PresetError(f'holds "{name}", which can\'t be in a bundle', where=where, remedy="do not trust it")
    return manifest


def _take(handle: Any, entry: ZipEntry, folder: Path, manifest: Manifest, where: str) -> None:
    """Unpack one file into a folder and check its hash and contents."""
    path = folder / entry.name
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as target:
        digest = unpack(handle, entry, target, where=where)
    note = manifest.files[entry.name]
    if (digest, entry.size) != (note.sha256, note.bytes):
        raise PresetError(
            f'its file "{entry.name}" has another hash than its manifest says', where=where, remedy="ask for it again"
        )
    try:
        check_content(path, entry.name)
    except PresetError as problem:
        raise PresetError(f"its file {problem.where} {problem.what}", where=where, remedy=problem.remedy) from None


def _free_name(name: str) -> Path:
    _check_name(name, where="--as")
    if name in shipped_names():
        raise PresetError(f"a preset called {name} ships with reactive", remedy="choose another name with --as NAME")
    return user_presets() / name


def _check_name(name: str, *, where: str) -> None:
    if not _NAME.fullmatch(name) or name_fault(name):
        shown = name[:60]
        raise PresetError(
            f'"{shown}" is no name for a preset', where=where, remedy="use small letters, digits and hyphens"
        )


def _same(folder: Path, manifest: Manifest) -> bool:
    """Return whether an installed preset holds exactly the files of a manifest."""
    try:
        files, left = files_of(folder)
        hashes = {name: hash_file(path) for name, path in files.items()}
    except (PresetError, MediaError, OSError):
        return False
    return not left and hashes == {name: note.sha256 for name, note in manifest.files.items()}


def _copy(files: dict[str, Path], folder: Path) -> None:
    for name, path in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, folder / name)


def _appear(target: Path, fill: Callable[[Path], None], *, replace: bool = False) -> None:
    """Create a folder under its final name only when it is complete; an old one is kept until then.

    Raises
    ------
    PresetError
        If it exists and may not be replaced, or can't be written.
    """
    if (target.exists() or target.is_symlink()) and not replace:
        raise PresetError("exists already", where=str(target), remedy="choose another name")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as room:
            partial, former = Path(room, "new"), Path(room, "old")
            partial.mkdir()
            fill(partial)
            with contextlib.suppress(FileNotFoundError):
                os.replace(target, former)
            try:
                os.replace(partial, target)
            except OSError:
                if former.exists():
                    os.replace(former, target)
                raise
    except OSError as problem:
        raise _unwritable(target, problem) from None


def _unwritable(path: Path, problem: OSError) -> PresetError:
    return PresetError(f"can't be written ({problem.strerror})", where=str(path), remedy="choose another place")


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])
