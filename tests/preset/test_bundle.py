"""Bundles: packing and installing is lossless, packing is reproducible; unsafe bundles are refused in one line without traces."""

from __future__ import annotations

import io
import json
import pickle
import struct
import zipfile
from pathlib import Path

import av
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from reactive.cli import main
from reactive.errors import PresetError
from reactive.preset.bundle import export, fork, install, pack, remove
from reactive.preset.installed import installed_names, user_presets
from reactive.preset.library import find_preset, get_preset, names, shipped_names
from tests.effort import refused_within
from tests.preset.hostile import PRESET, Part, bundle_bytes, manifest_of, tensors, tree, zip_bytes


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A separate folder of installed presets for each test."""
    monkeypatch.setenv("REACTIVE_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


def jpeg(width: int = 40, height: int = 30) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), (200, 40, 10)).save(buffer, "JPEG")
    return buffer.getvalue()


def video() -> bytes:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as target:
        stream = target.add_stream("libx264", rate=24)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for shade in (10, 200):
            frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), shade, np.uint8), format="rgb24")
            target.mux(stream.encode(frame))
        target.mux(stream.encode(None))
    return buffer.getvalue()


def lora() -> bytes:
    header = {"up": {"dtype": "F16", "shape": [2, 3], "data_offsets": [0, 12]}, "__metadata__": {"rank": "2"}}
    return tensors(json.dumps(header).encode(), bytes(12))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A preset's folder with one file of each kind."""
    made = tmp_path / "Tide"
    (made / "photos").mkdir(parents=True)
    (made / "preset.toml").write_text(PRESET + '[lyrics]\nfile = "song.lrc"\n')
    (made / "photos" / "band.jpg").write_bytes(jpeg())
    (made / "poster.jpg").write_bytes(jpeg(64, 36))
    (made / "waves.mp4").write_bytes(video())
    (made / "style.safetensors").write_bytes(lora())
    (made / "song.lrc").write_text("[00:01.00]one\n[00:02.00]two\n")
    (made / "README.md").write_text("Hold the tide.\n")
    return made


def bundle(tmp_path: Path, raw: bytes) -> Path:
    path = tmp_path / "sent" / "x.reactive"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(raw)
    return path


def test_packing_and_installing_keeps_everything(tmp_path: Path, folder: Path) -> None:
    (folder / "notes.docx").write_bytes(b"notes")
    packed = pack(str(folder), tmp_path / "a.reactive")
    assert packed.manifest.name == "tide"
    assert packed.left_out == ("notes.docx",)
    done = install(packed.path)
    assert done.fresh
    assert done.name == "tide"
    assert tree(done.folder) == [
        "README.md",
        "manifest.json",
        "photos",
        "photos/band.jpg",
        "poster.jpg",
        "preset.toml",
        "song.lrc",
        "style.safetensors",
        "waves.mp4",
    ]
    for name in tree(done.folder):
        if (done.folder / name).is_file() and name != "manifest.json":
            assert (done.folder / name).read_bytes() == (folder / name).read_bytes(), name
    assert get_preset("tide").author == "A band"
    assert "tide" in names()
    # an installed preset packs to exactly the original bundle
    again = pack("tide", tmp_path / "b.reactive")
    assert again.path.read_bytes() == packed.path.read_bytes()
    assert tree(user_presets()) == sorted(["tide", *(f"tide/{name}" for name in tree(done.folder))])


def test_the_same_folder_gives_the_same_bytes(tmp_path: Path, folder: Path) -> None:
    first = pack(str(folder), tmp_path / "a.reactive").path.read_bytes()
    for path in folder.rglob("*"):
        path.touch()
    assert pack(str(folder), tmp_path / "b.reactive").path.read_bytes() == first
    with zipfile.ZipFile(tmp_path / "a.reactive") as archive:
        assert archive.testzip() is None
        assert archive.namelist()[0] == "manifest.json"
        manifest = json.loads(archive.read("manifest.json"))
    assert manifest["licence"] == "CC0-1.0"
    assert manifest["files"].keys() == {
        "README.md",
        "photos/band.jpg",
        "poster.jpg",
        "preset.toml",
        "song.lrc",
        "style.safetensors",
        "waves.mp4",
    }
    (folder / "song.lrc").write_text("[00:01.00]three\n")
    assert pack(str(folder), tmp_path / "c.reactive").path.read_bytes() != first


@pytest.mark.parametrize("name", shipped_names())
def test_bundled_presets_can_be_packed_and_installed_under_another_name(tmp_path: Path, name: str) -> None:
    packed = pack(name, tmp_path / "shipped.reactive")
    with pytest.raises(PresetError, match="ships with reactive"):
        install(packed.path)
    assert install(packed.path, name="mine").name == "mine"
    assert get_preset("mine").title == get_preset(name).title


def test_taken_names(tmp_path: Path, data: Path) -> None:
    path = bundle(tmp_path, bundle_bytes())
    other = PRESET.replace("grey", "green").encode()
    another = tmp_path / "another.reactive"
    another.write_bytes(
        zip_bytes([Part("manifest.json", manifest_of({"preset.toml": other})), Part("preset.toml", other)])
    )
    assert install(path).fresh
    before = (user_presets() / "tide" / "preset.toml").stat().st_ino
    assert not install(path).fresh
    assert (user_presets() / "tide" / "preset.toml").stat().st_ino == before
    with pytest.raises(PresetError, match="--replace"):
        install(another)
    assert "grey" in find_preset("tide").read_text()
    assert install(another, name="tide-2").name == "tide-2"
    assert install(another, replace=True).fresh
    assert "green" in find_preset("tide").read_text()
    # a preset edited by hand is not overwritten
    find_preset("tide").write_text(PRESET)
    with pytest.raises(PresetError, match="another preset called tide"):
        install(another)
    for name in ("loop-destroy", "../tide", "Tide", "con", "", "a/b", "tide\n"):
        with pytest.raises(PresetError):
            install(path, name=name or "-")
    assert installed_names() == ["tide", "tide-2"]
    remove("tide-2")
    assert installed_names() == ["tide"]
    assert not [name for name in tree(data) if name.startswith("presets/.")]
    for name in ("loop-destroy", "tide-2", "../data", "."):
        with pytest.raises(PresetError):
            remove(name)


def test_export_and_fork(tmp_path: Path) -> None:
    assert "preset.toml" in export("loop-destroy", tmp_path / "copy")
    assert (tmp_path / "copy" / "preset.toml").read_bytes() == find_preset("loop-destroy").read_bytes()
    with pytest.raises(PresetError, match="exists already"):
        export("loop-destroy", tmp_path / "copy")
    file = fork("loop-destroy", "my-loop")
    assert file.read_text().startswith("# forked from Loop, destroy by The reactive authors (sha256 ")
    assert get_preset("my-loop").title == get_preset("loop-destroy").title
    for name in ("my-loop", "loop-destroy", "My loop"):
        with pytest.raises(PresetError):
            fork("loop-destroy", name)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda f: (f / "preset.toml").write_text(PRESET.replace("A band", "")), "names no author"),
        (lambda f: (f / "preset.toml").write_text(PRESET.replace("CC0-1.0", " ")), "names no licence"),
        (lambda f: (f / "preset.toml").write_text(PRESET.replace("Tide", "<script>x</script>")), "HTML"),
        (lambda f: (f / "song.lrc").unlink(), "song.lrc"),
        (lambda f: (f / "photos" / "evil.jpg").write_text("ffconcat version 1.0\nfile /etc/passwd\n"), "evil.jpg"),
        (lambda f: (f / "photos" / "link.jpg").symlink_to("/etc/hostname"), "is a link"),
        (lambda f: (f / "photos" / "BAND.jpg").write_bytes(jpeg()), "collides"),
        (lambda f: (f / "aux.jpg").write_bytes(jpeg()), "reserved"),
    ],
)
def test_unshareable_presets_are_not_packed(tmp_path: Path, folder: Path, change, words: str) -> None:
    change(folder)
    with pytest.raises(PresetError, match=words):
        pack(str(folder), tmp_path / "a.reactive")
    assert tree(tmp_path) == sorted(["Tide", *(f"Tide/{name}" for name in tree(folder))])


def hostile_names() -> list[str]:
    return [
        "../evil.txt",
        "photos/../../evil.txt",
        "/etc/evil.txt",
        "C:/evil.txt",
        "C:evil.txt",
        "..\\evil.txt",
        "\\\\host\\evil.txt",
        "con.txt",
        "photos/NUL.txt",
        "com1.txt",
        "LPT9.jpg",
        "aux",
        "e\u0301.txt",
        "evil.txt ",
        "evil.",
        ".hidden.txt",
        "a//b.txt",
        "./a.txt",
        "a\x1b[31m.txt",
        "a\u202etxt.exe.txt",
        "<b>.txt",
        "a\nb.txt",
        "a" * 200 + ".txt",
        "a/b/c/d/e/f.txt",
        "photos/",
        "a\x00b.txt",
        "a?.txt",
        "",
        "~evil.txt:stream",
    ]


def hostile_bundles() -> dict[str, bytes]:
    """Return all malicious bundles by name."""
    text = b"harmless"
    link = Part("photos", b"/etc", mode=0o120777)
    device = Part("tty.txt", b"", mode=0o020666)
    many = {f"t{i}.txt": b"x" for i in range(1200)}
    bomb = Part("bomb.txt", bytes(50_000_000), deflate=True)
    huge = [Part(f"big{i}.txt", b"x", size=1 << 31, packed=1) for i in range(3)]
    good = bundle_bytes()
    start = struct.unpack("<L", good[-6:-2])[0]
    giga = bytearray(
        b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"
        + struct.pack(">LL", 100_000, 100_000)
        + b"\x08\x02\x00\x00\x00"
        + bytes(4)
    )
    return {
        **{f"name {name!r:.40}": bundle_bytes(None, Part(name, text)) for name in hostile_names()},
        **{f"listed name {name!r:.40}": bundle_bytes({name: text}) for name in hostile_names()},
        "symlink": bundle_bytes(None, link),
        "symlink and a file through it": bundle_bytes(None, link, Part("photos/evil.txt", text)),
        "device": bundle_bytes(None, device),
        "duplicate": bundle_bytes({"a.txt": text}, Part("a.txt", b"other")),
        "case": bundle_bytes({"a.txt": text, "A.txt": text}),
        "case of a folder": bundle_bytes({"a/x.txt": text, "A/y.txt": text}),
        "unicode": bundle_bytes({"\ufb01.txt": text, "fi.txt": text}),
        "sharp s": bundle_bytes({"stra\u00dfe.txt": text, "strasse.txt": text}),
        "file and folder": bundle_bytes({"a.txt": text, "a.txt/b.txt": text}),
        "encrypted": bundle_bytes(None, Part("a.txt", text, flags=0x801)),
        "strongly encrypted": bundle_bytes(None, Part("a.txt", text, flags=0x841)),
        "AES": bundle_bytes(None, Part("a.txt", text, method=99)),
        "bzip2": bundle_bytes(None, Part("a.txt", text, method=12)),
        "sizes behind the data": bundle_bytes(None, Part("a.txt", text, flags=0x808)),
        "CRC": zip_bytes([Part("manifest.json", manifest_of({})), Part("preset.toml", PRESET.encode(), crc=1)]),
        "CRC of the manifest": zip_bytes([Part("manifest.json", manifest_of({}), crc=1)]),
        "size too small": bundle_bytes(None, Part("a.txt", text * 99, deflate=True, size=10)),
        "size too large": bundle_bytes(None, Part("a.txt", text * 99, deflate=True, size=1000)),
        "stored size lies": bundle_bytes(None, Part("a.txt", text, size=4)),
        "list and entry differ": bundle_bytes(None, Part("a.txt", text, listed={"size": 4})),
        "names differ": bundle_bytes(None, Part("a.txt", text, local_name=b"../a.t")),
        "overlap": bundle_bytes(None, Part("a.txt", text, offset=0)),
        "overlap in the middle": bundle_bytes(None, Part("a.txt", text, packed=4, size=4)),
        "bomb by ratio": bundle_bytes(None, bomb),
        "bomb by total": bundle_bytes(None, *huge),
        "bomb by count": bundle_bytes(many),
        "bomb by nesting": bundle_bytes({"inner.zip": bundle_bytes()}),
        "nested bundle": bundle_bytes({"inner.reactive": bundle_bytes()}),
        "count lies": zip_bytes([Part("manifest.json", manifest_of({}))], count=9),
        "no entries": zip_bytes([]),
        "prefix": zip_bytes([Part("manifest.json", manifest_of({}))], before=b"#!/bin/sh\n"),
        "comment": zip_bytes([Part("manifest.json", manifest_of({}))], comment=b"hello"),
        "cut short": good[: len(good) // 2],
        "cut at the end": good[:-1],
        "gap": good[:start] + b"\0" * 8 + good[start:],
        "not a zip": b"%PDF-1.7 " * 40,
        "wrong hash": zip_bytes(
            [Part("manifest.json", manifest_of({"preset.toml": b"another"})), Part("preset.toml", PRESET.encode())]
        ),
        "no manifest": zip_bytes([Part("preset.toml", PRESET.encode())]),
        "no preset": zip_bytes([Part("manifest.json", manifest_of({}))]),
        "manifest is no JSON": zip_bytes([Part("manifest.json", b"{"), Part("preset.toml", PRESET.encode())]),
        "manifest is deep": zip_bytes([Part("manifest.json", b"[" * 100_000), Part("preset.toml", PRESET.encode())]),
        "manifest is large": zip_bytes([Part("manifest.json", b" " * 1_100_000 + b"{}")]),
        "file not in the manifest": bundle_bytes(None, Part("extra.txt", text)),
        "file only in the manifest": zip_bytes(
            [
                Part("manifest.json", manifest_of({"preset.toml": PRESET.encode(), "a.txt": text})),
                Part("preset.toml", PRESET.encode()),
            ]
        ),
        "another format": bundle_bytes(format="zip"),
        "later version": bundle_bytes(version=2),
        "newer reactive": bundle_bytes(reactive="99.0"),
        "version is an attack": bundle_bytes(reactive="1." + "9" * 5000),
        "more keys": bundle_bytes(install_script="rm -rf"),
        "name is a path": bundle_bytes(name="../../evil"),
        "name is shipped": bundle_bytes(name="loop-destroy"),
        "title with an escape": bundle_bytes(title="\x1b]0;owned\x07"),
        "author with HTML": bundle_bytes(author="<img src=x onerror=alert(1)>"),
        "title is another": bundle_bytes(title="Other"),
        "preset with HTML": raw_preset(PRESET.replace("a grey sea", "<script>alert(1)</script>")),
        "preset with an escape": raw_preset(PRESET.replace("a grey sea", "\\u001b[2J")),
        "preset with NaN": raw_preset(PRESET + "[feedback]\nrate = nan\n"),
        "preset with infinity": raw_preset(PRESET + "[feedback]\nfresh = -inf\n"),
        "deep expression": raw_preset(
            PRESET.replace("[[phase]]", f'walk = "{"(" * 10_000}1{")" * 10_000}"\n[[phase]]')
        ),
        "endless expression": raw_preset(
            PRESET.replace("[[phase]]", f'walk = "smooth({"smooth(" * 30}rms"\n[[phase]]')
        ),
        "deep arrays": raw_preset(PRESET + f"x = {'[' * 50_000}\n"),
        "endless key": raw_preset(PRESET + ".".join("a" * 300_000) + " = 1\n"),
        "endless quoted key": raw_preset(PRESET + ".".join(['"!"'] * 300_000) + " = 1\n"),
        "million prompts": raw_preset(PRESET.replace('["a grey sea"]', "[" + '"a",' * 1_000_000 + "]")),
        "large preset": raw_preset(PRESET + "#" * 3_000_000),
        "huge number": raw_preset(PRESET.replace("[[phase]]", f"[feedback]\nrate = {'9' * 5000}\n[[phase]]")),
        "not UTF-8": raw_preset(PRESET.encode() + b"# \xff\xfe"),
        "pickle as safetensors": bundle_bytes({"lora.safetensors": pickle.dumps({"a": 1})}),
        "torch file as safetensors": bundle_bytes({"lora.safetensors": b"PK\x03\x04" + bytes(100)}),
        "huge safetensors header": bundle_bytes({"lora.safetensors": struct.pack("<Q", 1 << 40) + bytes(64)}),
        "deep safetensors header": bundle_bytes({"lora.safetensors": tensors(b"[" * 100_000)}),
        "safetensors with a hole": bundle_bytes(
            {"l.safetensors": tensors(b'{"a":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}}', bytes(8))}
        ),
        "safetensors that overlap": bundle_bytes(
            {
                "l.safetensors": tensors(
                    b'{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}',
                    bytes(4),
                )
            }
        ),
        "safetensors with more behind": bundle_bytes(
            {"l.safetensors": tensors(b'{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}', bytes(9))}
        ),
        "gigapixels": bundle_bytes({"poster.png": bytes(giga)}),
        "SVG": bundle_bytes({"poster.svg": b"<svg xmlns='http://www.w3.org/2000/svg'/>"}),
        "SVG as a picture": bundle_bytes({"poster.png": b"<svg xmlns='http://www.w3.org/2000/svg'/>"}),
        "ffconcat as a video": bundle_bytes({"clip.mp4": b"ffconcat version 1.0\nfile '/etc/passwd'\n"}),
        "m3u8 as a video": bundle_bytes({"clip.mp4": b"#EXTM3U\n#EXTINF:1,\n/etc/passwd\n#EXT-X-ENDLIST\n"}),
        "mpd as a video": bundle_bytes(
            {"clip.mkv": b'<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"/>'}
        ),
        "playlist": bundle_bytes({"list.m3u8": b"#EXTM3U\n"}),
        "program": bundle_bytes({"setup.py": b"print(1)"}),
        "font that is none": bundle_bytes({"a.ttf": b"MZ" + bytes(100)}),
        "text with an escape": bundle_bytes({"README.md": b"\x1b[2Jhello"}),
        "text with HTML": bundle_bytes({"README.md": b"<iframe src=x>"}),
        "words with an escape": bundle_bytes({"song.lrc": b"[00:01.00]\x1b[2J"}),
        "words of a gigabyte": bundle_bytes({"song.lrc": b"x" * 1_100_000}),
    }


def raw_preset(text: str | bytes) -> bytes:
    raw = text.encode() if isinstance(text, str) else text
    return zip_bytes([Part("manifest.json", manifest_of({"preset.toml": raw})), Part("preset.toml", raw)])


ATTACKS = hostile_bundles()
# units of work allowed for refusing one
WORK = 80


def test_malicious_bundles_differ_from_an_accepted_one(tmp_path: Path) -> None:
    assert len(ATTACKS) > 100
    assert install(bundle(tmp_path, bundle_bytes({"README.md": b"fine", "photos/a.jpg": jpeg()}))).fresh
    deflated = Part("README.md", b"fine words " * 40, deflate=True)
    files = {"preset.toml": PRESET.encode(), "README.md": deflated.data}
    raw = zip_bytes([Part("manifest.json", manifest_of(files)), Part("preset.toml", PRESET.encode()), deflated])
    assert install(bundle(tmp_path, raw), name="packed").fresh


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_is_refused_in_one_line_and_leaves_nothing(tmp_path: Path, attack: str) -> None:
    path = bundle(tmp_path, ATTACKS[attack])
    before = tree(tmp_path)
    line = refused_within(WORK, lambda: install(path))
    assert len(line) < 600
    shown = CliRunner().invoke(main, ["preset", "install", str(path)])
    assert shown.exit_code == 1
    assert "Traceback" not in shown.output
    assert len(shown.output.strip().splitlines()) == 1
    assert all(letter.isprintable() or letter == "\n" for letter in shown.output)
    assert [name for name in tree(tmp_path) if name not in before and name not in ("data", "data/presets")] == []


def test_a_full_disk_leaves_nothing(tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from reactive.preset import bundle as room

    def full(*arguments: object, **options: object) -> str:
        raise OSError(28, "No space left on device")

    path = bundle(tmp_path, bundle_bytes())
    monkeypatch.setattr(room, "check_content", full)
    with pytest.raises(PresetError, match="No space left"):
        install(path)
    assert tree(data) == ["presets"]


def test_the_commands_speak_json(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    def said(*arguments: str) -> dict:
        done = CliRunner().invoke(main, ["preset", *arguments, "--json"])
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    assert said("pack", str(folder))["name"] == "tide"
    assert said("install", "Tide.reactive")["installed"] is True
    assert said("install", "Tide.reactive")["installed"] is False
    assert "poster.jpg" in said("export", "tide", "-o", "copy")["files"]
    assert said("fork", "tide", "storm")["name"] == "storm"
    assert said("remove", "storm")["removed"] == "storm"
    refused = CliRunner().invoke(main, ["preset", "pack", str(folder), "--json"])
    assert refused.exit_code == 1
    assert "exists" in json.loads(refused.stdout)["error"]["what"]
