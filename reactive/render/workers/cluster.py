"""Ray clusters: start one on this machine, or join a running one.

Ray runs any code that reaches it. A cluster that is started here can therefore be reached from this machine only, with a secret
token and without a dashboard; a running cluster's token has to be given.
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
from reactive.errors import OutputError, install_line

LOCAL = "local"
# bytes of Ray's object store: nothing large goes through it
_OBJECTS = 100 << 20


def require_ray() -> Any:
    """Return the module Ray, set up so that it sends no usage statistics and writes nothing to our stdout.

    Raises
    ------
    OutputError
        If it is not installed.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_AUTH_MODE", "token")
    # its messages about workers that die would go to our stdout
    os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", ".")
    try:
        import ray
        import ray.exceptions
    except ImportError:
        raise OutputError(
            "needs Ray, which is not installed", where="--ray", remedy=f"run `{install_line('[ray]')}`"
        ) from None
    return ray


@contextlib.contextmanager
def cluster(address: str, *, room: int) -> Iterator[None]:
    """Start a cluster on this machine or join a running one, and leave it at the end; one that was joined before stays joined.

    Parameters
    ----------
    address
        ``local``, or where the cluster is.
    room
        The least number of cores of a cluster on this machine.

    Raises
    ------
    OutputError
        If it can't be reached, or refuses our token.
    """
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
    if address == LOCAL and "ray" not in sys.modules:
        # reachable from this machine only: else Ray listens on the machine's own address
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    if address == LOCAL:
        options |= {
            "include_dashboard": False,
            "num_cpus": max(room, default_threads()),
            "object_store_memory": _OBJECTS,
            "_node_ip_address": "127.0.0.1",
            # Ray would give its workers the lowest priority on the machine
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
    # Ray raises all kinds of errors here, a bare Exception if the machine is too busy
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
    """Return how many workers fit into a cluster.

    Raises
    ------
    OutputError
        If none does.
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
        If it has idle ones.
    """
    if any(node["Resources"].get("GPU", 0) >= 1 for node in ray.nodes() if node["Alive"]):
        raise OutputError(
            "its workers have GPUs, and this machine has none",
            where="Ray",
            remedy="start this command on one of their machines, or pass --device cpu",
        )


def first_line(problem: BaseException) -> str:
    """Return the first line of an error of Ray; they are long."""
    return next((line.strip() for line in str(problem).splitlines() if line.strip()), type(problem).__name__)[:200]
