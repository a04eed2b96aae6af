"""A microphone or line-in as a stream of blocks, by sounddevice (extra [mic])."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from reactive.errors import MediaError, install_line

# 11.6 ms at 44100 Hz; a block is delivered when its last sample is there
BLOCK = 512
# blocks that may wait; beyond, the oldest are dropped
MAX_WAITING = 64


class Microphone:
    """An input device being recorded; iterating yields float32 blocks [n] as they come, until `close`.

    Parameters
    ----------
    device
        Its number or part of its name; None for the system's own choice.

    Attributes
    ----------
    sample_rate, name
        The device's own.
    latency
        Seconds from a sound to its block, as the system reports it.

    Raises
    ------
    MediaError
        If sounddevice, PortAudio or the device is missing.
    """

    def __init__(self, device: str | None = None) -> None:
        sounddevice = _sounddevice()
        chosen = chosen_input(list(sounddevice.query_devices()), _default(sounddevice), device)
        self.name, self.sample_rate = str(chosen["name"]), round(float(chosen["default_samplerate"]))
        self._blocks: queue.Queue[np.ndarray | None] = queue.Queue(MAX_WAITING)
        self.lost = 0
        try:
            self._stream = sounddevice.InputStream(
                device=chosen["index"],
                channels=1,
                samplerate=self.sample_rate,
                blocksize=BLOCK,
                dtype="float32",
                latency="low",
                callback=self._heard,
            )
            self._stream.start()
        except sounddevice.PortAudioError as problem:
            raise MediaError(
                f"can't be opened ({problem})", where=self.name, remedy="choose another with --input-device"
            ) from None
        self.latency = float(self._stream.latency) + BLOCK / self.sample_rate

    def _heard(self, data: np.ndarray, frames: int, times: Any, status: Any) -> None:
        del frames, times, status
        put_newest(self._blocks, data[:, 0].copy())

    def __iter__(self) -> Iterator[np.ndarray]:
        """Yield blocks until the device is closed."""
        while (block := self._blocks.get()) is not None:
            yield block

    def close(self) -> None:
        """Close the device."""
        self._stream.close()
        put_newest(self._blocks, None)


def put_newest(blocks: queue.Queue[np.ndarray | None], block: np.ndarray | None) -> None:
    """Put a block into a queue; if it is full the oldest block is dropped."""
    while True:
        try:
            blocks.put_nowait(block)
            return
        except queue.Full:
            try:
                blocks.get_nowait()
            except queue.Empty:
                continue


def chosen_input(devices: list[dict[str, Any]], default: int, wanted: str | None) -> dict[str, Any]:
    """Return the chosen device: by number, by part of its name, or the default.

    Raises
    ------
    MediaError
        If there is none; the message lists the devices.
    """
    inputs = [{**device, "index": number} for number, device in enumerate(devices) if device["max_input_channels"] > 0]
    if not inputs:
        raise MediaError("this machine has no sound input", where="--input mic", remedy="plug one in")
    if wanted is None:
        return next((device for device in inputs if device["index"] == default), inputs[0])
    by_number = [device for device in inputs if str(device["index"]) == wanted.strip()]
    by_name = [device for device in inputs if wanted.casefold() in str(device["name"]).casefold()]
    if not (by_number or by_name):
        there = ", ".join(f"{device['index']} ({device['name']})" for device in inputs)
        raise MediaError(f'there is no input "{wanted}"', where="--input-device", remedy=f"there are {there}")
    return (by_number or by_name)[0]


def paced(
    blocks: Iterator[np.ndarray], sample_rate: int, *, clock: Callable[[], float] = time.monotonic
) -> Iterator[np.ndarray]:
    """Yield blocks at the pace at which a device would deliver them."""
    began, samples = clock(), 0
    for block in blocks:
        samples += len(block)
        time.sleep(max(0.0, began + samples / sample_rate - clock()))
        yield block


def _sounddevice() -> Any:
    try:
        import sounddevice
    except ImportError:
        raise MediaError(
            "hearing a live input needs sounddevice",
            where="--input mic",
            remedy=f"install it with `{install_line('[mic]')}`",
        ) from None
    except OSError:
        raise MediaError(
            "hearing a live input needs the PortAudio library",
            where="--input mic",
            remedy="install it, on Debian or Ubuntu with `apt install libportaudio2`",
        ) from None
    return sounddevice


def _default(sounddevice: Any) -> int:
    try:
        return int(sounddevice.default.device[0])
    except (TypeError, ValueError, IndexError):
        return -1
