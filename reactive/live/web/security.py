"""Access control of the preview: host names, origins, the token, the cookie, limits. Every answer has strict headers.

The page's address has a random token in its fragment. A fragment is never sent, so the page posts it once
and gets a cookie that scripts can't read and other sites can't send. Names of hosts are checked, so that a foreign
name that resolves to this machine (DNS rebinding) gets nothing.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import json
import os
import secrets
import stat
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from reactive.errors import OutputError

KEY_DAYS = 7
# what an address opens: everything, or only pictures and state
Right = Literal["play", "look"]
# addresses whose attempts are remembered
MAX_ADDRESSES = 1024
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "media-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), midi=(self)",
    "Cache-Control": "no-store",
}


def is_loopback(host: str) -> bool:
    """Return whether an address to bind reaches this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True)
class Gate:
    """Checks host names, origins and secrets.

    Attributes
    ----------
    host, port
        What the server is bound to.
    token
        The secret in the address's fragment.
    key
        The secret in the cookie.
    look_token
        The secret in the fragment of the address that can only look.
    framed_by
        A port of this machine whose page may show this one in a frame; None: no page may.
    frames
        Whether the page may show pages of this machine's other ports in a frame.
    """

    host: str
    port: int
    token: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    key: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    look_token: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    framed_by: int | None = None
    frames: bool = False

    def headers(self, host: str | None) -> dict[str, str]:
        """Return the headers of an answer to a request with this Host header."""
        headers = dict(HEADERS)
        if (self.framed_by is None and not self.frames) or not self.knows_host(host):
            return headers
        name = urlsplit(f"//{host}").hostname or ""
        here, policy = f"http://[{name}]" if ":" in name else f"http://{name}", headers["Content-Security-Policy"]
        if self.frames:
            policy += f"; frame-src {here}:*"
        if self.framed_by is not None:
            policy = policy.replace("frame-ancestors 'none'", f"frame-ancestors {here}:{self.framed_by}")
            # it can't name a page, and browsers that know the policy above ignore it
            del headers["X-Frame-Options"]
        return headers | {"Content-Security-Policy": policy}

    @property
    def look_key(self) -> str:
        """The secret in the cookie of who can only look; it follows from the other, which it does not reveal."""
        return hmac.new(self.key.encode(), b"look", hashlib.sha256).hexdigest()

    @property
    def cookie(self) -> str:
        """The cookie's name; cookies do not depend on the port, so the name has it."""
        return f"reactive-{self.port}"

    def knows_host(self, host: str | None) -> bool:
        """Return whether a Host header names this server.

        An IP address can't be rebound; the only name that is accepted is localhost.
        """
        try:
            parts = urlsplit(f"//{host}")
            name, port = parts.hostname or "", parts.port or 80
        except ValueError:
            return False
        if port != self.port or parts.username or parts.path or parts.query:
            return False
        if name == "localhost":
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return not is_loopback(self.host) and name == self.host
        return address.is_loopback or not is_loopback(self.host)

    def knows_origin(self, origin: str | None, host: str | None) -> bool:
        """Return whether an Origin header is this server's own page; ``null`` and foreign ones are not."""
        return origin is not None and origin == f"http://{host}" and self.knows_host(host)

    def opens(self, token: object) -> bool:
        """Return whether a token is the right one, in constant time."""
        return isinstance(token, str) and hmac.compare_digest(token.encode("utf-8", "replace"), self.token.encode())

    def admits(self, cookie: str | None) -> bool:
        """Return whether a cookie is the right one, in constant time."""
        return cookie is not None and hmac.compare_digest(cookie.encode("utf-8", "replace"), self.key.encode())

    def right_of_token(self, token: object) -> Right | None:
        """Return what a token opens, in constant time; None for nothing."""
        looks = isinstance(token, str) and hmac.compare_digest(
            token.encode("utf-8", "replace"), self.look_token.encode()
        )
        return "play" if self.opens(token) else "look" if looks else None

    def right_of_cookie(self, cookie: str | None) -> Right | None:
        """Return what a cookie opens, in constant time; None for nothing."""
        looks = cookie is not None and hmac.compare_digest(cookie.encode("utf-8", "replace"), self.look_key.encode())
        return "play" if self.admits(cookie) else "look" if looks else None


def kept_key(folder: Path, port: int) -> str:
    """Return the secret of a port's cookie; it stays the same for a week, so that a page survives a restart of the server.

    It is kept in a file that only its owner can read.

    Raises
    ------
    OutputError
        If the folder can't be written.
    """
    file = folder / f"preview-{port}.json"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if file.is_file() and not file.is_symlink():
            mode, data = file.stat().st_mode, json.loads(file.read_text(encoding="utf-8"))
            private = os.name == "nt" or not mode & (stat.S_IRWXG | stat.S_IRWXO)
            fresh = 0 <= time.time() - float(data["made"]) < KEY_DAYS * 86_400
            if private and fresh and len(str(data["key"])) >= 32:
                return str(data["key"])
    except (ValueError, KeyError, TypeError, OSError):
        # a key that can't be used is replaced
        pass
    key = secrets.token_urlsafe(32)
    partial = folder / f".{file.name}.{secrets.token_hex(4)}"
    try:
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as handle:
            json.dump({"made": time.time(), "key": key}, handle)
        os.replace(partial, file)
    except OSError as problem:
        partial.unlink(missing_ok=True)
        raise OutputError(
            f"can't be written ({problem.strerror})", where=str(folder), remedy="make the folder writable"
        ) from None
    return key


class Allowance:
    """A rate limit with a reserve for bursts (token bucket).

    Parameters
    ----------
    rate, burst
        Events a second in the long run, and at once.
    clock
        Returns the time in seconds.
    """

    def __init__(self, rate: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.rate = rate
        self.burst = burst
        self.clock = clock
        self.left = burst
        self.updated_at = clock()

    def take(self, now: float | None = None) -> bool:
        """Return whether one more is allowed, and count it."""
        now = self.clock() if now is None else now
        self.left = min(self.burst, self.left + (now - self.updated_at) * self.rate)
        self.updated_at = now
        if self.left < 1:
            return False
        self.left -= 1
        return True


class PerAddress:
    """A rate limit for each address, so that one machine's attempts do not affect others.

    Parameters
    ----------
    rate, burst, clock
        As of `Allowance`.
    """

    def __init__(self, rate: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits = rate, burst, clock
        self._known: OrderedDict[str, Allowance] = OrderedDict()

    def take(self, address: str) -> bool:
        """Return whether an address is allowed one more, and count it."""
        place = _network(address)
        allowance = self._known.pop(place, None) or Allowance(*self._limits)
        self._known[place] = allowance
        # the least recently seen ones are dropped
        while len(self._known) > MAX_ADDRESSES:
            self._known.popitem(last=False)
        return allowance.take()


def _network(address: str) -> str:
    """Return the unit of one user: an IPv4 address, or an IPv6 /64, within which a host may choose addresses."""
    try:
        known = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(known, ipaddress.IPv6Address):
        return str(known.ipv4_mapped or ipaddress.ip_network((known, 64), strict=False))
    return str(known)
