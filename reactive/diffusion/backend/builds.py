"""Which build of torch supports which card (the one table for the documentation and `reactive doctor`), and the cards of a machine.

Cards are found without torch, from the system's list of hardware; no special rights are needed.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

GET_STARTED = "https://pytorch.org/get-started/locally/"
# vendor numbers on the PCI bus
_VENDORS = {"0x10de": "NVIDIA", "0x1002": "AMD", "0x8086": "Intel"}
# names in Windows of Intel's integrated graphics, which are no faster for torch than the processor
_INTEL_CARDS = ("arc", "data center gpu", "flex")


@dataclass(frozen=True)
class Build:
    """A build of torch: for which card and systems, the device that it offers, and how to get it, in one line."""

    card: str
    systems: tuple[str, ...]
    device: str
    how: str

    @property
    def machine(self) -> str:
        """Return the card and its systems, in words."""
        names = {"Darwin": "macOS"}
        return f"{self.card}, {' or '.join(names.get(system, system) for system in self.systems)}"


BUILDS = (
    Build(
        "NVIDIA",
        ("Linux",),
        "cuda",
        "the plain `pip install` brings CUDA 13, which needs a driver of version 580 or later; for an older driver choose Linux, "
        "Pip and an earlier CUDA",
    ),
    Build(
        "NVIDIA",
        ("Windows",),
        "cuda",
        "the plain `pip install` brings a build for the CPU only: choose Windows, Pip and CUDA",
    ),
    Build("AMD", ("Linux",), "cuda", "the plain `pip install` brings a build for NVIDIA: choose Linux, Pip and ROCm"),
    Build("AMD", ("Windows",), "cuda", "look whether ROCm can be chosen for Windows; where it can't, the CPU is used"),
    Build(
        "Intel",
        ("Linux", "Windows"),
        "xpu",
        "the plain `pip install` brings no build for it: choose your system, Pip and XPU",
    ),
    Build(
        "Apple",
        ("Darwin",),
        "mps",
        "the plain `pip install` is the right one, in a Python built for arm64 and not for x86_64",
    ),
)


def table() -> str:
    """Return the table of README: each machine, the device that it is then, and how to get there."""
    rows = [f"| {build.machine} | `--device {build.device}` | {build.how} |" for build in BUILDS]
    return "\n".join(["| card, system | device | which torch |", "| --- | --- | --- |", *rows])


@dataclass(frozen=True)
class Machine:
    """The properties of a machine that can be found without torch; tests replace it.

    Attributes
    ----------
    system
        As `platform.system` has it.
    processor
        As `platform.machine` has it.
    root
        The root of the file system.
    run
        Returns a program's output; empty if it is missing or fails.
    """

    system: str
    processor: str
    root: Path
    run: Callable[..., str]


def this_machine() -> Machine:
    """Return the machine that this runs on."""
    return Machine(platform.system(), platform.machine(), Path("/"), _printed)


def cards(machine: Machine) -> tuple[str, ...]:
    """Return the vendors of a machine's cards: any of NVIDIA, AMD, Intel and Apple, each once."""
    found: list[str] = []
    if machine.system == "Darwin":
        # under Rosetta the processor calls itself x86_64
        if machine.processor == "arm64" or "Apple" in machine.run("sysctl", "-n", "machdep.cpu.brand_string"):
            found.append("Apple")
        return tuple(found)
    if (machine.root / "proc/driver/nvidia/version").exists() or "GPU" in machine.run("nvidia-smi", "-L"):
        found.append("NVIDIA")
    if machine.system == "Windows":
        found += _named(_windows_cards(machine))
    else:
        found += _on_the_bus(machine.root / "sys/class/drm")
    return tuple(dict.fromkeys(found))


def driver(machine: Machine) -> int:
    """Return the first number of NVIDIA's driver, 0 if it is not known."""
    told = machine.run("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader").strip()
    head = told.splitlines()[0].partition(".")[0] if told else ""
    return int(head) if head.isdigit() else 0


def line_for(machine: Machine, seen: tuple[str, ...]) -> str:
    """Return the line of the table for a card that torch does not use; empty if there is none.

    Parameters
    ----------
    seen
        The kinds of devices that torch sees.
    """
    for build in BUILDS:
        if machine.system in build.systems and build.device not in seen and build.card in cards(machine):
            drives = f" (its driver is {number})" if build.card == "NVIDIA" and (number := driver(machine)) else ""
            return f"{build.card}{drives} is here, but this torch does not use it: {build.how}, at {GET_STARTED}"
    return ""


def advice(machine: Machine | None = None) -> str:
    """Return how to get a torch that uses this machine's card; empty if it does, or there is no card."""
    kinds = [kind for kind in ("cuda", "xpu") if getattr(torch, kind).is_available()]
    kinds += ["mps"] if torch.backends.mps.is_available() else []
    return "" if kinds else line_for(machine or this_machine(), tuple(kinds))


def _on_the_bus(folder: Path) -> list[str]:
    """Return the vendors of the cards with a Linux driver; of Intel's only those that are not part of the processor."""
    found = []
    for vendor in sorted(folder.glob("card*/device/vendor")):
        try:
            maker = _VENDORS.get(vendor.read_text(encoding="ascii").strip().lower(), "")
        except (OSError, UnicodeDecodeError):
            continue
        # integrated graphics are on bus 0
        inside = vendor.parent.resolve().name.startswith("0000:00:")
        if maker and not (maker == "Intel" and inside):
            found.append(maker)
    return found


def _windows_cards(machine: Machine) -> list[str]:
    query = "Get-CimInstance Win32_VideoController | ForEach-Object { $_.Name }"
    return machine.run("powershell", "-NoProfile", "-NonInteractive", "-Command", query).splitlines()


def _named(names: list[str]) -> list[str]:
    found = []
    for name in (name.lower() for name in names):
        if "nvidia" in name:
            found.append("NVIDIA")
        elif "amd" in name or "radeon" in name:
            found.append("AMD")
        elif "intel" in name and any(word in name for word in _INTEL_CARDS):
            found.append("Intel")
    return found


def _printed(program: str, *arguments: str) -> str:
    path = shutil.which(program)
    if path is None:
        return ""
    try:
        done = subprocess.run(
            [path, *arguments],
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
            env={**os.environ, "LC_ALL": "C"},
        )
    except (OSError, subprocess.SubprocessError, ValueError):
        return ""
    return done.stdout if done.returncode == 0 else ""
