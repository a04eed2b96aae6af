"""The addresses of a preview: on this machine, and for a phone in the same network."""

from __future__ import annotations

import contextlib
import ipaddress
import socket

EVERYWHERE = ("", "0.0.0.0", "::")
# one address in each private network range, and one on the internet: the route there shows our own address
BEYOND_4 = ("192.0.2.1", "192.168.255.254", "10.255.255.254", "172.31.255.254")
BEYOND_6 = ("2001:db8::1", "fd00::1")


def local_url(host: str, port: int) -> str:
    """Return the page's address for this machine's own browser."""
    shown = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return _url(shown, port)


def network_urls(host: str, port: int) -> tuple[str, ...]:
    """Return the page's addresses for other machines, the most likely first; none without a network."""
    if host not in EVERYWHERE:
        return (_url(host, port),)
    return tuple(_url(address, port) for address in _own(host))


def _own(host: str) -> list[str]:
    """Return the source addresses that this machine would send from; nothing is sent."""
    found: list[str] = []
    family, beyond = (socket.AF_INET6, BEYOND_6) if host == "::" else (socket.AF_INET, BEYOND_4)
    for target in beyond:
        # without a route there the machine has no such address
        with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((target, 9))
            address = str(probe.getsockname()[0])
            known = ipaddress.ip_address(address.partition("%")[0])
            if not (known.is_loopback or known.is_unspecified) and address not in found:
                found.append(address)
    return found


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
