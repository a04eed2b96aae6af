"""Clusters of Ray: begin one on this machine, or join one that is there.

Ray runs any code that reaches it. A cluster that is begun here is therefore reached from this machine only, with a token that
nobody else knows, and without a dashboard; of a cluster that is there already the token is asked.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import sys
from collections.abc import Iterator
from typing import Any

from reactive.diffusion.models.load import default_threads
from reactive.errors import OutputError

LOCAL = "local"
# nothing large goes through Ray
_OBJECTS = 100 << 20


def require_ray() -> Any:
    """Return the module Ray, set up so that it reports nothing to its makers and writes nothing on our stdout.

    Raises
    ------
    OutputError
        If it is not installed.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_AUTH_MODE", "token")
    # what it says of workers that die would stand on our stdout
    os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", ".")
    try:
        import ray
        import ray.exceptions
    except ImportError:
        raise OutputError(
            "needs Ray, which is not installed", where="--ray", remedy="pip install 'reactive-clip[ray]'"
        ) from None
    return ray


@contextlib.contextmanager
def cluster(address: str, *, room: int) -> Iterator[None]:
    """Start a cluster on this machine, or join one that is there, and leave it again; one that was joined already stays.

    Parameters
    ----------
    address
        ``local``, or where the cluster is.
    room
        Cores that a cluster on this machine has at least.

    Raises
    ------
    OutputError
        If it can't be reached, or does not take our token.
    """
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
    if address == LOCAL and "ray" not in sys.modules:
        # reached from this machine only: Ray takes its own address for this one's, unless there can be no others
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    if address == LOCAL:
        options |= {
            "include_dashboard": False,
            "num_cpus": max(room, default_threads()),
            "object_store_memory": _OBJECTS,
            "_node_ip_address": "127.0.0.1",
            # Ray would have its workers give way to everything else on the machine
            "_system_config": {"worker_niceness": 0},
        }
    ray = require_ray()
    if ray.is_initialized():
        yield
        return
    # Ray takes SIGTERM for itself
    before = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(address=address, **options)
    # Ray raises anything here, a bare Exception where the machine is too busy
    except Exception as problem:
        remedy = "start one with `ray start --head`, and give its token in RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH"
        if address == LOCAL:
            remedy = "run it without --ray"
        raise OutputError(
            f"can't be joined ({first_line(problem)})", where=f"Ray at {address}", remedy=remedy
        ) from None
    finally:
        with contextlib.suppress(ValueError):
            signal.signal(signal.SIGTERM, before)
    try:
        yield
    finally:
        ray.shutdown()


def room_for(ray: Any, *, gpu: bool, cores: int) -> int:
    """Return how many workers a cluster has room for.

    Raises
    ------
    OutputError
        If for none.
    """
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    room = sum(
        int(min(node.get("CPU", 0) // cores, node.get("GPU", 0) if gpu else node.get("CPU", 0))) for node in nodes
    )
    if not room:
        wanted = "a GPU" if gpu else f"{cores} cores"
        raise OutputError(f"no machine of it has {wanted}", where="Ray", remedy="add one, or choose other --threads")
    return room


def refuse_idle_gpus(ray: Any) -> None:
    """Refuse to render on plain processors while a cluster's GPUs lie idle.

    Raises
    ------
    OutputError
        If it has some.
    """
    if any(node["Resources"].get("GPU", 0) >= 1 for node in ray.nodes() if node["Alive"]):
        raise OutputError(
            "its workers have GPUs, and this machine has none",
            where="Ray",
            remedy="start this command on one of their machines, or pass --device cpu",
        )


def first_line(problem: BaseException) -> str:
    """Return the first line of what Ray says, which says much."""
    return next((line.strip() for line in str(problem).splitlines() if line.strip()), type(problem).__name__)[:200]
