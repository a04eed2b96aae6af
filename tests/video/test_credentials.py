"""Content Credentials signed with a certificate made for the test, and verified with the reference library."""

from __future__ import annotations

import datetime
import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from click.testing import CliRunner

from reactive.cli import main
from reactive.media.sound import open_track
from reactive.media.tags import RECIPE, XMP, read_tags
from reactive.video import credentials
from reactive.video.codec import video_codec
from reactive.video.mark import SOURCE_TYPE, xmp_packet
from reactive.video.mux import join
from reactive.video.segment import SegmentEncoder
from tests.toy import beat_song, write_song

c2pa = pytest.importorskip("c2pa", reason="needs the extra c2pa")
x509 = pytest.importorskip("cryptography.x509", reason="needs the extra c2pa")

from cryptography.hazmat.primitives import hashes, serialization  # noqa: E402
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa  # noqa: E402
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID  # noqa: E402

PEM = serialization.Encoding.PEM


def named(name: str) -> Any:
    return x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, "A band"), x509.NameAttribute(NameOID.COMMON_NAME, name)]
    )


def certificate(
    key: Any, issuer: str, signing: Any, *, name: str = "signer", above: bool = False, days: int = 30
) -> bytes:
    """Return a certificate as PEM: of a signer, or of an authority `above` it; with `days` below 0 it is expired."""
    start = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=90)
    usage = dict.fromkeys(
        (
            "content_commitment",
            "key_encipherment",
            "data_encipherment",
            "key_agreement",
            "encipher_only",
            "decipher_only",
        ),
        False,
    )
    made = (
        x509.CertificateBuilder()
        .subject_name(named(name))
        .issuer_name(named(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + datetime.timedelta(days=90 + days))
        .add_extension(x509.BasicConstraints(above, None), critical=True)
        .add_extension(
            x509.KeyUsage(digital_signature=not above, key_cert_sign=above, crl_sign=above, **usage), critical=True
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signing.public_key()), critical=False)
    )
    if not above:
        made = made.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
    return made.sign(signing, hashes.SHA256()).public_bytes(PEM)


def private(key: Any, *, style: Any = serialization.PrivateFormat.PKCS8, password: bytes | None = None) -> bytes:
    lock = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return key.private_bytes(PEM, style, lock)


ROOT = ec.generate_private_key(ec.SECP256R1())
KEY = ec.generate_private_key(ec.SECP256R1())
ABOVE = certificate(ROOT, "root", ROOT, name="root", above=True)
CHAIN = certificate(KEY, "root", ROOT) + ABOVE


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small clip of each container, a certificate chain and its key."""
    folder = tmp_path_factory.mktemp("signing")
    (folder / "chain.pem").write_bytes(CHAIN)
    (folder / "key.pem").write_bytes(private(KEY))
    track = open_track(write_song(folder / "song.wav", beat_song(1)))
    codec = video_codec("h264")
    with SegmentEncoder(folder / "piece.mkv", size=(64, 64), fps=Fraction(6), codec=codec) as encoder:
        for k in range(6):
            encoder.write(np.full((64, 64, 3), 40 * k, np.uint8))
    for name, tags in (
        ("clip.mp4", {XMP: xmp_packet(), RECIPE: "{}"}),
        ("clip.mov", {XMP: xmp_packet()}),
        ("other.mp4", {}),
    ):
        join(
            [(folder / "piece.mkv", 6)],
            track,
            folder / name,
            fps=Fraction(6),
            container=name[-3:],
            codec=codec,
            sound=(0, track.samples),
            metadata=tags,
        )
    (folder / "clip.mkv").write_bytes((folder / "piece.mkv").read_bytes())
    return folder


def export(*arguments: str):
    return CliRunner().invoke(main, ["export", *arguments])


def signed(room: Path, out: Path, clip: str = "clip.mp4", *more: str) -> dict[str, Any]:
    """Sign a clip with the command line; return its output."""
    pems = ["--c2pa", str(room / "chain.pem"), "--c2pa-key", str(room / "key.pem")]
    done = export(str(room / clip), *pems, "-o", str(out), "--json", *more)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def packets(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux() if packet.size]


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mov"])
def test_a_signed_clip_states_who_made_it_and_how(tmp_path: Path, room: Path, name: str) -> None:
    out = tmp_path / f"out{name[-4:]}"
    told = signed(room, out, name)["signed"]
    assert told == {"path": str(out), "by": "CN=signer,O=A band", "algorithm": "es256"}
    with c2pa.Reader(str(out)) as reader:
        manifest = reader.get_active_manifest()
        assert reader.get_validation_state() == "Valid"
        # the only remark: the test's certificate is not trusted
        assert [fault["code"] for fault in json.loads(reader.json())["validation_status"]] == [
            "signingCredential.untrusted"
        ]
    assert manifest["title"] == "clip"
    assert manifest["claim_generator_info"][0]["name"] == "reactive"
    assert manifest["signature_info"]["common_name"] == "signer"
    actions = {entry["label"]: entry["data"] for entry in manifest["assertions"]}["c2pa.actions.v2"]["actions"]
    assert [(action["action"], action["digitalSourceType"]) for action in actions] == [("c2pa.created", SOURCE_TYPE)]
    # recipe, marker, pictures and sound are unchanged
    assert read_tags(out) == read_tags(room / name)
    assert packets(out) == packets(room / name)
    assert [entry.name for entry in tmp_path.iterdir()] == [out.name]


def test_a_change_of_the_recipe_breaks_the_signature(tmp_path: Path, room: Path) -> None:
    signed(room, tmp_path / "out.mp4")
    raw = (tmp_path / "out.mp4").read_bytes()
    assert raw.endswith(b"{}")
    (tmp_path / "out.mp4").write_bytes(raw[:-2] + b"[]")
    with c2pa.Reader(str(tmp_path / "out.mp4")) as reader:
        assert reader.get_validation_state() == "Invalid"


def test_loudness_and_signature_can_be_combined(tmp_path: Path, room: Path) -> None:
    out = tmp_path / "out.mp4"
    told = signed(room, out, "clip.mp4", "--loudness", "-20")
    assert told["output"]["loudness"] == pytest.approx(-20, abs=0.3)
    with c2pa.Reader(str(out)) as reader:
        assert reader.get_validation_state() == "Valid"
    assert read_tags(out)[RECIPE] == "{}"
    # signed again under the same name: the new signature replaces the old one
    pems = ["--c2pa", str(room / "chain.pem"), "--c2pa-key", str(room / "key.pem")]
    assert export(str(out), *pems, "-o", str(tmp_path / "twice.mp4")).exit_code == 0
    with c2pa.Reader(str(tmp_path / "twice.mp4")) as reader:
        assert len(json.loads(reader.json())["manifests"]) == 1
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["out.mp4", "twice.mp4"]


KINDS = {
    "es384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "ed25519": ed25519.Ed25519PrivateKey.generate,
    "ps256": lambda: rsa.generate_private_key(65537, 2048),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_key_determines_the_algorithm(tmp_path: Path, room: Path, kind: str) -> None:
    key = KINDS[kind]()
    (tmp_path / "chain.pem").write_bytes(certificate(key, "root", ROOT) + ABOVE)
    (tmp_path / "key.pem").write_bytes(private(key))
    identity = credentials.load_identity(tmp_path / "chain.pem", tmp_path / "key.pem")
    assert identity.algorithm == kind
    credentials.sign_clip(room / "clip.mp4", tmp_path / "out.mp4", identity, title="x")
    with c2pa.Reader(str(tmp_path / "out.mp4")) as reader:
        assert reader.get_validation_state() == "Valid"


def test_keys_in_openssls_formats_are_accepted(tmp_path: Path, room: Path) -> None:
    (tmp_path / "key.pem").write_bytes(private(KEY, style=serialization.PrivateFormat.TraditionalOpenSSL))
    assert credentials.load_identity(room / "chain.pem", tmp_path / "key.pem").algorithm == "es256"


@pytest.mark.parametrize(
    ("chain", "key", "word"),
    [
        (b"hello", private(KEY), "--c2pa chain.pem: holds no certificate"),
        (CHAIN, b"hello", "--c2pa-key key.pem: holds no private key"),
        (CHAIN, private(ROOT), "another certificate"),
        (ABOVE + CHAIN, private(ROOT), "signed by itself"),
        (certificate(KEY, "root", ROOT, days=-1) + ABOVE, private(KEY), "was valid until"),
        (CHAIN, private(KEY, password=b"secret"), "locked by a password"),
        (b"", private(KEY), "is empty"),
        (CHAIN, private(dsa.generate_private_key(1024)), "another certificate"),
        # an authority's certificate that is not self-signed: checked by the library
        (certificate(KEY, "root", ROOT, above=True) + ABOVE, private(KEY), "can't be signed"),
    ],
)
def test_a_wrong_certificate_is_one_clear_line(
    tmp_path: Path, room: Path, monkeypatch: pytest.MonkeyPatch, chain: bytes, key: bytes, word: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("chain.pem").write_bytes(chain)
    Path("key.pem").write_bytes(key)
    refused(room, word, "--c2pa", "chain.pem", "--c2pa-key", "key.pem", "-o", "out.mp4")


def refused(room: Path, word: str, *arguments: str, clip: str = "clip.mp4") -> None:
    """Check that a command line is refused in one line and leaves no files in this folder."""
    before = sorted(entry.name for entry in Path().iterdir())
    done = export(str(room / clip), *arguments)
    assert done.exit_code == 1, done.output
    assert word in done.output
    assert len(done.output.strip().splitlines()) == 1
    assert "Traceback" not in done.output
    assert sorted(entry.name for entry in Path().iterdir()) == before


def test_files_that_can_not_be_signed_are_reported(tmp_path: Path, room: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    pems = ["--c2pa", str(room / "chain.pem"), "--c2pa-key", str(room / "key.pem")]
    refused(room, "not marked as made by reactive", *pems, "-o", "out.mp4", clip="other.mp4")
    refused(room, "can't carry a C2PA manifest", *pems, "-o", "out.mkv", clip="clip.mkv")
    refused(room, "must be named with .mp4", *pems, "-o", "out.mov")
    refused(room, "go together", *pems[:2], "-o", "out.mp4")
    refused(room, "-o goes with", "-o", "out.mp4")
    refused(room, "-o goes with", *pems)
    refused(room, "no such file", "--c2pa", "none.pem", *pems[2:], "-o", "out.mp4")
    refused(room, "--c2pa-time", "--c2pa-time", "http://127.0.0.1:9", "--poster", "p.jpg")
    # an unreachable timestamp authority is named, and no half-signed clip stays
    refused(room, "--c2pa-time: the clip can't be signed", *pems, "--c2pa-time", "http://127.0.0.1:9", "-o", "out.mp4")

    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(credentials, "import_module", missing)
    refused(room, "[c2pa]", *pems, "-o", "out.mp4")
