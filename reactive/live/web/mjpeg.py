"""The current picture as MJPEG, for programs that mix video, such as OBS: its own address with a view-only token.

It has no time stamps. The token is valid for this address only, the page's cookie is not valid for it,
and it can be revoked: that ends every stream at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import secrets
from collections.abc import Callable

from aiohttp import web

from reactive.live.web.security import HEADERS

PATH = "/mjpeg"
BOUNDARY = "reactive-picture"
MAX_STREAMS = 4
# seconds after which an unchanged picture is sent again, so that the stream does not seem dead
STILL_SECONDS = 1.0
SEND_SECONDS = 10.0


class ViewToken:
    """The view-only token; there is none until it is issued."""

    def __init__(self) -> None:
        self._token: str | None = None
        self.generation = 0
        self.streams = 0

    def issue(self) -> str:
        """Return a new token; the old one becomes invalid."""
        self.generation += 1
        self._token = secrets.token_urlsafe(24)
        return self._token

    def revoke(self) -> None:
        """Make the token invalid."""
        self.generation += 1
        self._token = None

    def matches(self, token: str | None) -> bool:
        """Return whether a token is the right one, in constant time."""
        if self._token is None or token is None:
            return False
        return hmac.compare_digest(token.encode("utf-8", "replace"), self._token.encode())


async def stream(
    request: web.Request,
    allowed: ViewToken,
    picture: Callable[[], bytes | None],
    watching: Callable[[int], None],
    fps: float,
) -> web.StreamResponse:
    """Send pictures until the program goes or the token is revoked. Pictures that come too fast for it are skipped.

    Parameters
    ----------
    picture
        Returns the current JPEG; the same object while it is unchanged.
    watching
        Called with +1 when a program connects and -1 when it leaves.
    fps
        The most pictures a second.
    """
    if allowed.streams >= MAX_STREAMS:
        raise web.HTTPServiceUnavailable(text="too many streams")
    generation = allowed.generation
    response = web.StreamResponse(
        headers={**HEADERS, "Content-Type": f"multipart/x-mixed-replace; boundary={BOUNDARY}"}
    )
    allowed.streams += 1
    watching(1)
    try:
        await response.prepare(request)
        last, told = None, 0.0
        now = asyncio.get_running_loop().time
        while allowed.generation == generation:
            jpeg = picture()
            if jpeg is None or (jpeg is last and now() - told < STILL_SECONDS):
                await asyncio.sleep(0.25 / fps)
                continue
            last, told = jpeg, now()
            head = f"--{BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n".encode()
            await asyncio.wait_for(response.write(head + jpeg + b"\r\n"), SEND_SECONDS)
            await asyncio.sleep(max(0.0, 0.9 / fps - (now() - told)))
    except (ConnectionError, TimeoutError):
        pass
    finally:
        allowed.streams -= 1
        watching(-1)
    with contextlib.suppress(ConnectionError):
        await response.write_eof()
    return response
