"""OSC in and out (extra [osc]): `/reactive/...` messages control the performance, and report beats, sections and phases.

OSC has no passwords, so by default only this machine can reach the listener, and it can only play: it has no access to files,
paths or other addresses.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import socket
import struct
from collections.abc import Callable
from typing import Any

from reactive.errors import OutputError, ReactiveError, install_line
from reactive.live.control.remote import CHOICES, NAMED, NUMBERED, PRESSED, SWITCHES, Action, Counts, target
from reactive.live.web.security import Allowance, is_loopback

ROOT = "/reactive/"
MAX_DATAGRAM = 2048
MAX_MESSAGES = 64
MAX_TEXT = 500
# messages a second in the long run, and at once
RATE, BURST = 400.0, 800.0


def read_packet(data: bytes) -> list[tuple[str, list[Any]]]:
    """Return the messages of a packet; those of bundles in order, ignoring their times.

    Raises
    ------
    ValueError
        If it is not an OSC packet.
    """
    from pythonosc.osc_packet import OscPacket, ParseError

    try:
        messages = [timed.message for timed in OscPacket(data).messages]
    except (ParseError, ValueError, IndexError, struct.error, RecursionError, TypeError, OverflowError):
        raise ValueError("no OSC") from None
    if len(messages) > MAX_MESSAGES:
        raise ValueError("too many messages")
    return [(str(message.address), list(message.params)) for message in messages]


def action_of(address: str, arguments: list[Any]) -> Action | None:
    """Return the action of a message; None if its address is not known.

    Raises
    ------
    ValueError
        If the address is known and its arguments are wrong.
    """
    if not address.startswith(ROOT):
        return None
    kind, _, name = address.removeprefix(ROOT).partition("/")
    if kind in ("macro", "control"):
        found = target(f"macro.{name}" if kind == "macro" else name)
        if found is None or found.kind != "control":
            return None
        # a fader's 0 to 1 for a macro; a control in its own units
        return Action("control", found.name, _number(arguments))
    if name:
        return None
    if kind in SWITCHES:
        # without an argument it toggles
        return Action(SWITCHES[kind], value=float(_number(arguments) >= 0.5) if arguments else -1.0)
    if kind == "play":
        return Action(kind, value=float(_number(arguments) >= 0.5) if arguments else -1.0)
    pressed = kind.replace("_", "-")
    if pressed in PRESSED and "-" not in kind and not (kind in NUMBERED and arguments):
        # buttons send 1 when pressed and 0 when released
        return target(pressed) if not arguments or _number(arguments) >= 0.5 else Action("nothing")
    if kind in NUMBERED:
        number = round(_number(arguments))
        if number not in CHOICES.get(kind, (number,)):
            raise ValueError(f"no such {kind}")
        return Action(kind, value=float(number))
    if kind in NAMED:
        found = target(f"{kind}.{_text(arguments)}" if arguments else kind)
        if found is None:
            raise ValueError("no such name")
        return found
    if kind == "prompt":
        return Action("prompt", text=_text(arguments))
    if kind == "preset":
        return Action("preset", _text(arguments), _number(arguments[1:]) if len(arguments) > 1 else 0.0)
    return None


def _number(arguments: list[Any]) -> float:
    value = arguments[0] if arguments else None
    if isinstance(value, bool):
        return float(value)
    if not isinstance(value, (int, float)) or abs(value) > 1e9 or not math.isfinite(value):
        raise ValueError("no number")
    return float(value)


def _text(arguments: list[Any]) -> str:
    value = arguments[0] if arguments else None
    if not isinstance(value, str) or not value.strip() or len(value) > MAX_TEXT or not value.isprintable():
        raise ValueError("no text")
    return value


class OscReceiver(asyncio.DatagramProtocol):
    """Receives datagrams.

    Parameters
    ----------
    put
        Called with each action.
    counts
        Counts invalid messages.
    """

    def __init__(self, put: Callable[[Action], None], counts: Counts) -> None:
        self.put = put
        self.counts = counts
        self.allowance = Allowance(RATE, BURST)

    def datagram_received(self, data: bytes, address: tuple[Any, ...]) -> None:
        """Handle one datagram; errors are counted and have no other effect."""
        del address
        if len(data) > MAX_DATAGRAM:
            self.counts.long += 1
            return
        if not self.allowance.take():
            self.counts.flood += 1
            return
        try:
            messages = read_packet(data)
        except ValueError:
            self.counts.wrong += 1
            return
        for number, (where, arguments) in enumerate(messages):
            # the messages of a bundle count singly
            if number and not self.allowance.take():
                self.counts.flood += 1
                continue
            try:
                action = action_of(where, arguments)
            except ValueError:
                self.counts.wrong += 1
                continue
            if action is None:
                self.counts.unknown += 1
            elif action.kind != "nothing":
                self.put(action)

    def error_received(self, problem: Exception) -> None:
        """Ignore network errors; we never send answers."""


class OscSender:
    """Sends OSC messages to one address; those that can't be sent are dropped, as OSC allows.

    Raises
    ------
    OutputError
        If the address can't be found.
    """

    def __init__(self, host: str, port: int) -> None:
        try:
            family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
        except OSError as problem:
            raise OutputError(
                f"can't be found ({problem})", where=f"--osc-out {host}:{port}", remedy="give an IP address"
            ) from None
        self.address: tuple[Any, ...] = address
        self._socket = socket.socket(family, kind)
        self._socket.setblocking(False)

    def send(self, address: str, *arguments: float | int | str) -> None:
        """Send one message; floats as f, whole numbers as i, texts as s."""
        from pythonosc.osc_message_builder import OscMessageBuilder

        builder = OscMessageBuilder(ROOT + address)
        for argument in arguments:
            builder.add_arg(argument)
        with contextlib.suppress(OSError):
            self._socket.sendto(builder.build().dgram, self.address)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


def bound_datagrams(host: str, port: int) -> socket.socket:
    """Return a bound UDP socket; port 0 means any free one.

    Raises
    ------
    OutputError
        If the address can't be bound.
    """
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    try:
        listener.bind((host, port))
    except OSError as problem:
        listener.close()
        raise OutputError(
            f"can't listen there ({problem.strerror or problem})",
            where=f"--osc-in {host}:{port}",
            remedy="choose another port",
        ) from None
    listener.setblocking(False)
    return listener


def parse_address(text: str, option: str, *, host: str = "127.0.0.1") -> tuple[str, int]:
    """Parse ``PORT`` or ``HOST:PORT``; a port alone is this machine's.

    Raises
    ------
    ReactiveError
        If it is neither.
    """
    before, colon, after = text.rpartition(":")
    name = before.strip("[]") if colon else host
    if not (after.isascii() and after.isdecimal() and 0 <= int(after[:9]) <= 65535 and name):
        raise ReactiveError(
            f'"{text}" is no place',
            where=option,
            remedy="write a port, as 9000, or an address and a port, as 127.0.0.1:9000",
        )
    return name, int(after)


def check_installed() -> None:
    """Check that python-osc is installed.

    Raises
    ------
    ReactiveError
        If it is not.
    """
    try:
        import pythonosc  # noqa: F401
    except ImportError:
        raise ReactiveError("OSC needs python-osc", remedy=f"install it with `{install_line('[osc]')}`") from None


def exposure_warning(place: tuple[str, int]) -> str:
    """Return a warning about a listener that other machines can reach; empty if none can."""
    if is_loopback(place[0]):
        return ""
    return f"Every machine on this network can send OSC to port {place[1]} and so play; OSC knows no password."
