"""OSC: real datagrams on the loopback control the performance and report events; invalid ones are only counted."""

from __future__ import annotations

import asyncio
import contextlib
import math
import socket
import struct
from typing import Any
from unittest import mock

import numpy as np
import pytest

pytest.importorskip("pythonosc", reason="the extra [osc] is not installed")
from pythonosc.osc_bundle_builder import IMMEDIATELY, OscBundleBuilder
from pythonosc.osc_message_builder import OscMessageBuilder

from reactive.errors import OutputError, ReactiveError, TimelineError
from reactive.live.control.external_io import ExternalIO, ExternalIOOptions
from reactive.live.control.osc import (
    BURST,
    MAX_DATAGRAM,
    OscReceiver,
    OscSender,
    action_of,
    bound_datagrams,
    exposure_warning,
    parse_address,
    read_packet,
)
from reactive.live.control.remote import Action, Remote, target


def packet(address: str, *arguments: Any) -> bytes:
    builder = OscMessageBuilder(address)
    for argument in arguments:
        builder.add_arg(argument)
    return builder.build().dgram


class Nobody:
    def cues(self) -> Any:
        return iter(())


def received(packets: list[bytes], *, refuse: bool = False) -> tuple[list[Action], Any]:
    """Send datagrams to a real listener on the loopback; return the received commands and its counters."""
    done: list[Action] = []
    arrived = 0
    take = OscReceiver.datagram_received

    def counting(listener: OscReceiver, data: bytes, address: tuple[Any, ...]) -> None:
        nonlocal arrived
        take(listener, data, address)
        arrived += 1

    async def act(action: Action) -> None:
        if refuse:
            raise TimelineError("no")
        done.append(action)

    async def whole() -> Any:
        external_io = ExternalIO(ExternalIOOptions(osc_in=("127.0.0.1", 0)))
        task = asyncio.create_task(external_io.run(act, Nobody()))
        sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            async with asyncio.timeout(240):
                for number, data in enumerate(packets, 1):
                    sender.sendto(data, ("127.0.0.1", external_io.osc_port))
                    # one at a time, so that the system never drops any
                    while arrived < number:
                        await asyncio.sleep(0)
                assert external_io._remote is not None
                while external_io._remote._waiting:
                    await asyncio.sleep(0)
            return external_io.counts
        finally:
            sender.close()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            external_io.close()

    with mock.patch.object(OscReceiver, "datagram_received", counting):
        return done, asyncio.run(whole())


def test_messages_move_macros_and_press_buttons() -> None:
    done, counts = received(
        [
            packet("/reactive/macro/storm", 0.25),
            packet("/reactive/control/walk", 2.5),
            packet("/reactive/next"),
            packet("/reactive/phase", 2),
            packet("/reactive/blackout", 1),
            packet("/reactive/blackout", 0.0),
            packet("/reactive/hold"),
            packet("/reactive/tap", 1.0),
            packet("/reactive/tap", 0.0),
            packet("/reactive/prompt", "a red door"),
            packet("/reactive/preset", "drift", 4.0),
        ]
    )
    assert Action("control", "macro.storm", 0.25) in done
    assert Action("control", "walk", 2.5) in done
    presses = [action for action in done if action.kind != "control"]
    assert presses == [
        Action("next"),
        Action("phase", value=2.0),
        Action("black", value=1.0),
        Action("black", value=0.0),
        Action("hold", value=-1.0),
        Action("tap"),
        Action("prompt", text="a red door"),
        Action("preset", "drift", 4.0),
    ]
    assert (counts.taken, counts.unknown, counts.wrong, counts.refused) == (10, 0, 0, 0)


def test_a_bundle_is_its_messages() -> None:
    bundle = OscBundleBuilder(IMMEDIATELY)
    for value in (0.1, 0.2):
        builder = OscMessageBuilder("/reactive/phase")
        builder.add_arg(value * 10)
        bundle.add_content(builder.build())
    done, _ = received([bundle.build().dgram])
    assert done == [Action("phase", value=1.0), Action("phase", value=2.0)]


def test_invalid_messages_are_counted_and_ignored() -> None:
    deep = packet("/reactive/next")
    for _ in range(80):
        deep = b"#bundle\0" + struct.pack(">QI", 1, len(deep)) + deep
    nan = [packet("/reactive/macro/storm", value) for value in (math.nan, math.inf, -math.inf)]
    wrong = [
        *nan,
        b"",
        b"\0",
        b"#bundle\0",
        b"/reactive/next",
        packet("/reactive/macro/storm", "much"),
        packet("/reactive/macro/storm"),
        packet("/reactive/phase", True),
        packet("/reactive/prompt", "two\nlines"),
        packet("/reactive/prompt", "x" * 600),
        packet("/reactive/prompt", 3),
        packet("/reactive/preset", ""),
        np.random.default_rng(1).bytes(300),
    ]
    unknown = [
        packet(address)
        for address in ("/other/next", "/reactive/", "/reactive/files", "/reactive/next/x", "/reactive/control/door")
    ]
    done, counts = received([*wrong, *unknown, b"/" * (MAX_DATAGRAM + 4), packet("/reactive/next")])
    assert [action for action in done if action.kind != "phase"] == [Action("next")]
    assert counts.wrong >= len(wrong) - 2
    assert counts.unknown >= len(unknown)
    assert counts.long == 1
    with pytest.raises(ValueError, match="no OSC"):
        read_packet(b"#bundle\0\0")
    with contextlib.suppress(ValueError):
        assert all(address == "/reactive/next" for address, _ in read_packet(deep))


def test_random_bytes_are_only_counted() -> None:
    random = np.random.default_rng(7)
    good = bytearray(packet("/reactive/macro/storm", 0.5))
    for _ in range(600):
        data = bytearray(good)
        for place in random.integers(0, len(data), 3):
            data[place] = random.integers(256)
        try:
            for address, arguments in read_packet(bytes(data)):
                action_of(address, arguments)
        except ValueError:
            pass


def test_a_flood_is_limited(stopped: None) -> None:
    _, counts = received([packet("/reactive/macro/storm", number / 3000) for number in range(3000)])
    assert counts.taken == BURST
    assert counts.flood == 3000 - BURST


def test_of_a_faders_values_only_the_newest_is_queued() -> None:
    done: list[Action] = []

    async def whole() -> None:
        begun, go_on = asyncio.Event(), asyncio.Event()

        async def slowly(action: Action) -> None:
            begun.set()
            await go_on.wait()
            done.append(action)

        remote = Remote(slowly)
        task = asyncio.create_task(remote.run())
        remote.put(Action("control", "macro.storm", 0.5))
        # during each command a hundred of each kind arrive
        await begun.wait()
        for number in range(100):
            remote.put(Action("control", "macro.storm", number / 100))
            remote.put(Action("control", "walk", number / 100))
        remote.put(Action("next"))
        remote.put(Action("control", "walk", math.nan))
        go_on.set()
        async with asyncio.timeout(240):
            while len(done) < 4:
                await asyncio.sleep(0)
        task.cancel()
        assert remote.counts.wrong == 1

    asyncio.run(whole())
    assert done == [
        Action("control", "macro.storm", 0.5),
        Action("control", "macro.storm", 0.99),
        Action("control", "walk", 0.99),
        Action("next"),
    ]


def test_refused_commands_are_counted() -> None:
    done, counts = received([packet("/reactive/phase", 99)], refuse=True)
    assert not done
    assert counts.refused == 1


def test_names_of_targets() -> None:
    assert target("macro.storm") == Action("control", "macro.storm", share=True)
    assert target("blackout") == Action("black", value=-1.0)
    assert target("phase.2") == Action("phase", value=2.0)
    for wrong in ("", "macro.", "files", "phase.x", "phase.", "../x", "x" * 100, "a\nb"):
        assert target(wrong) is None


def test_sent_messages_arrive() -> None:
    listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    listener.bind(("127.0.0.1", 0))
    listener.settimeout(240)
    teller = OscSender("127.0.0.1", listener.getsockname()[1])
    teller.send("beat", 3)
    teller.send("section", 2, "drop")
    got = [read_packet(listener.recv(2048))[0] for _ in range(2)]
    assert got == [("/reactive/beat", [3]), ("/reactive/section", [2, "drop"])]
    teller.close()
    listener.close()


def test_the_listener_binds_the_loopback_by_default() -> None:
    assert parse_address("9000", "--osc-in") == ("127.0.0.1", 9000)
    assert parse_address("0.0.0.0:9000", "--osc-in") == ("0.0.0.0", 9000)
    assert parse_address("[::1]:9000", "--osc-in") == ("::1", 9000)
    for wrong in ("", "x", "99999", "host:", ":9000", "9000x", "-1", "٣٣"):
        with pytest.raises(ReactiveError, match="is no place"):
            parse_address(wrong, "--osc-in")
    assert exposure_warning(("127.0.0.1", 1)) == ""
    assert "Every machine" in exposure_warning(("0.0.0.0", 1))
    bound = bound_datagrams(*parse_address("0", "--osc-in"))
    assert bound.getsockname()[0] == "127.0.0.1"
    with pytest.raises(OutputError, match="can't listen"):
        bound_datagrams("127.0.0.1", bound.getsockname()[1])
    bound.close()
