"""Inspect the processes of a Ray cluster in Linux's /proc."""

from __future__ import annotations

import os
from pathlib import Path


def descendants(process: int) -> set[int]:
    """Return a process and all its descendants."""
    parents: dict[int, int] = {}
    for place in Path("/proc").iterdir():
        if place.name.isdigit():
            try:
                # the name in brackets may contain any character
                parents[int(place.name)] = int((place / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
    found = {process}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def renderers(process: int) -> list[int]:
    """Return a process's descendants that render for Ray."""
    found = []
    for child in sorted(descendants(process)):
        try:
            if Path(f"/proc/{child}/cmdline").read_bytes().startswith(b"ray::RayWorker"):
                found.append(child)
        except OSError:
            continue
    return found


def listening(process: int) -> set[str]:
    """Return the addresses, in /proc's hexadecimal form, on which a process or its descendants listen."""
    sockets = set()
    for child in descendants(process):
        try:
            sockets |= {os.readlink(entry) for entry in Path(f"/proc/{child}/fd").iterdir()}
        except OSError:
            continue
    found = set()
    for table in ("tcp", "tcp6"):
        for row in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            parts = row.split()
            if parts[3] == "0A" and f"socket:[{parts[9]}]" in sockets:
                found.add(parts[1].rpartition(":")[0])
    return found
