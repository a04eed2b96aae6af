"""Content Credentials: a signed C2PA manifest in a finished clip, which says that it was made by generative AI.

The signature covers the whole file, pictures, sound and recipe, and is made by a certificate of the user's own; anyone who
checks it sees the signer. Needs `c2pa-python` (extra ``c2pa``). The network is only used if a time authority
is given.
Source: C2PA Technical Specification 2.2, "Actions" and "Certificate profile".
"""

from __future__ import annotations

import datetime
import json
import os
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from reactive import __version__
from reactive.errors import MediaError, OutputError, ReactiveError, install_line
from reactive.files import partial_path
from reactive.media.safe import plain, read_bytes, regular_file
from reactive.media.tags import XMP, read_tags
from reactive.video.mark import SOURCE_TYPE
from reactive.video.segment import output_error

CERTIFICATE, KEY, AUTHORITY = "--c2pa", "--c2pa-key", "--c2pa-time"
MAX_PEM = 1_000_000
_TYPES = {".mp4": "video/mp4", ".mov": "video/quicktime"}
_CURVES = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}
# fetch nothing, add no picture, and read back what was written
_RULES = {
    "verify": {"verify_after_sign": True, "verify_trust": False, "remote_manifest_fetch": False, "ocsp_fetch": False},
    "builder": {"thumbnail": {"enabled": False}},
}


@dataclass(frozen=True)
class Identity:
    """The signer: PEM of the certificates (the signer's first) and of its private key, the algorithm, the name in it."""

    certificates: bytes
    key: bytes
    algorithm: str
    name: str


def load_identity(certificates: Path, key: Path) -> Identity:
    """Read a signer's certificate chain and private key, both PEM.

    Raises
    ------
    ReactiveError
        If the package is missing, a file holds something else, the certificate is out of date or signed by itself, or
        the key is another one's.
    """
    _package()
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization

    chain = _pem(certificates, CERTIFICATE)
    try:
        found = x509.load_pem_x509_certificates(chain)
    except ValueError:
        raise MediaError(
            "holds no certificate",
            where=f"{CERTIFICATE} {certificates}",
            remedy="name a PEM file with the signer's certificate, then those above it",
        ) from None
    signer, where = found[0], f"{CERTIFICATE} {certificates}"
    now = datetime.datetime.now(datetime.UTC)
    if not signer.not_valid_before_utc <= now <= signer.not_valid_after_utc:
        day = (
            signer.not_valid_after_utc.date()
            if now > signer.not_valid_after_utc
            else signer.not_valid_before_utc.date()
        )
        fault = f"was valid until {day}" if now > signer.not_valid_after_utc else f"is valid from {day} on"
        raise MediaError(f"{fault}, not today", where=where, remedy="renew it")
    if signer.issuer == signer.subject:
        raise MediaError(
            "begins with a certificate that is signed by itself, which C2PA does not allow",
            where=where,
            remedy="put the signer's own first, then those above it",
        )
    try:
        private: Any = serialization.load_pem_private_key(_pem(key, KEY), password=None)
    except TypeError:
        remedy = "write it without one: openssl pkcs8 -topk8 -nocrypt -in KEY -out PLAIN"
        raise MediaError("is locked by a password", where=f"{KEY} {key}", remedy=remedy) from None
    except ValueError:
        raise MediaError("holds no private key", where=f"{KEY} {key}", remedy="name a PEM file with one") from None
    if _public(private.public_key()) != _public(signer.public_key()):
        raise MediaError(
            "is the key of another certificate than the first one",
            where=f"{KEY} {key}",
            remedy="name the key that belongs to it",
        )
    plain_key = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return Identity(chain, plain_key, _algorithm(private, f"{KEY} {key}"), plain(signer.subject.rfc4514_string()))


def sign_clip(clip: Path, out: Path, identity: Identity, *, title: str, authority: str | None = None) -> None:
    """Write a clip with a signed C2PA manifest in it: created by generative AI, by reactive.

    Parameters
    ----------
    clip
        A finished MP4 or MOV of reactive's.
    out
        Where the signed one is written; it appears there only when it is complete. May be `clip` itself.
    identity
        The signer.
    title
        The clip's title in the manifest.
    authority
        The address of a time-stamping authority (RFC 3161), for the time of signing; None: no network.

    Raises
    ------
    MediaError
        If reactive did not make the clip, or its container can't have a manifest.
    OutputError
        If it can't be signed or written.
    """
    c2pa = _package()
    check_signable(clip, out)
    kind = _TYPES[clip.suffix.lower()]
    shown = plain(os.fsencode(title).decode("utf-8", "replace"))
    partial = partial_path(out)
    info = c2pa.C2paSignerInfo(identity.algorithm, identity.certificates, identity.key, authority)
    try:
        with (
            c2pa.Context(c2pa.Settings.from_dict(_RULES)) as context,
            c2pa.Signer.from_info(info) as signer,
            c2pa.Builder(json.dumps(manifest_of(shown, kind)), context) as builder,
            clip.open("rb") as source,
            partial.open("x+b") as target,
        ):
            builder.sign(signer, kind, source, target)
            target.flush()
            os.fsync(target.fileno())
        os.replace(partial, out)
    except c2pa.C2paError as problem:
        words = plain(" ".join(str(problem).split()))[:200]
        where = AUTHORITY if authority and ("http" in words.lower() or "stamp" in words.lower()) else CERTIFICATE
        raise OutputError(
            f"the clip can't be signed ({words})",
            where=where,
            remedy="use a certificate for signing content "
            "(extended key usage emailProtection or documentSigning, not signed by itself)"
            if where == CERTIFICATE
            else "check the address, or leave it out",
        ) from None
    except OSError as problem:
        raise output_error(out, problem) from None
    finally:
        partial.unlink(missing_ok=True)


def check_signable(clip: Path, out: Path) -> None:
    """Check that a clip can have a manifest and that the manifest would be true.

    Raises
    ------
    MediaError
        If reactive did not make it, its container is not MP4 or MOV, or `out` has another container.
    """
    if regular_file(clip).suffix.lower() not in _TYPES:
        raise MediaError(
            "can't carry a C2PA manifest", where=str(clip), remedy="sign an .mp4 or a .mov (run with --codec h264)"
        )
    if out.suffix.lower() != clip.suffix.lower():
        raise OutputError(f"must be named with {clip.suffix}", where=str(out), remedy="the container stays as it is")
    if SOURCE_TYPE not in read_tags(clip).get(XMP, ""):
        raise MediaError(
            "is not marked as made by reactive, so that it was can't be signed",
            where=str(clip),
            remedy="name a clip that `reactive run` wrote",
        )


def manifest_of(title: str, kind: str) -> dict[str, Any]:
    """Return the manifest that is signed together with the file's hash: what made the clip, and how."""
    made_by = {"name": "reactive", "version": __version__}
    action = {"action": "c2pa.created", "digitalSourceType": SOURCE_TYPE, "softwareAgent": made_by}
    return {
        "claim_generator_info": [made_by],
        "title": title,
        "format": kind,
        "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": [action]}}],
    }


def _package() -> Any:
    try:
        return import_module("c2pa")
    except ImportError:
        raise ReactiveError(
            "needs the package c2pa-python", where=CERTIFICATE, remedy=f"run `{install_line('[c2pa]')}`"
        ) from None


def _pem(path: Path, option: str) -> bytes:
    try:
        return read_bytes(path, limit=MAX_PEM)
    except MediaError as problem:
        raise MediaError(problem.what, where=f"{option} {path}", remedy=problem.remedy) from None


def _public(key: Any) -> bytes:
    from cryptography.hazmat.primitives import serialization

    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def _algorithm(key: Any, where: str) -> str:
    """Return C2PA's name of the algorithm that a private key signs by."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name in _CURVES:
        return _CURVES[key.curve.name]
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return "ed25519"
    if isinstance(key, rsa.RSAPrivateKey):
        return "ps256"
    raise MediaError("is of a kind that C2PA does not know", where=where, remedy="use an EC key of curve P-256")
