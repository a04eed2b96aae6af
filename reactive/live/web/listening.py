"""The listening socket of a server."""

from __future__ import annotations

import os
import socket

from reactive.errors import OutputError


def bound_socket(host: str, port: int) -> socket.socket:
    """Return a listening socket; port 0 means any free one.

    Raises
    ------
    OutputError
        If the address can't be bound.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        # so that a restart can bind at once; on Windows the option would share a port in use
        if os.name != "nt":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(128)
    except OSError as problem:
        listener.close()
        raise OutputError(
            f"can't listen there ({problem.strerror or problem})",
            where=f"{host}:{port}",
            remedy="choose another --port, or 0 for any free one",
        ) from None
    return listener
