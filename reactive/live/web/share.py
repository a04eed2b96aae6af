"""Addresses to hand out: to play from a phone and to look, each as a QR code. Only who plays may see them."""

from __future__ import annotations

import io

from aiohttp import web

from reactive.errors import install_line
from reactive.live.web.addresses import local_url, network_urls
from reactive.live.web.security import Gate, is_loopback

CLOSED = "Only this machine can reach the preview. To open it to phones in this network, start it with --host 0.0.0.0."
NO_NETWORK = "No network was found, so no phone reaches it yet."
WHO = "Phones in this network reach it. Who has the link to play can do everything."


def shared_links(gate: Gate) -> dict[str, str]:
    """Return the addresses of the remote control: ``play``, and ``look`` for those who can only look."""
    urls = () if is_loopback(gate.host) else network_urls(gate.host, gate.port)
    base = urls[0] if urls else local_url(gate.host, gate.port)
    return {"play": f"{base}/remote#{gate.token}", "look": f"{base}/look#{gate.look_token}"}


def qr_svg(text: str) -> bytes:
    """Return a QR code as SVG, dark on white with a quiet zone.

    Raises
    ------
    ImportError
        If segno is not installed.
    """
    import segno

    target = io.BytesIO()
    segno.make(text, error="m", micro=False).save(target, kind="svg", scale=4, border=4, dark="#000", light="#fff")
    return target.getvalue()


def add_share_routes(app: web.Application, gate: Gate) -> None:
    """Add the routes of the page's panel: the links, and their QR codes."""

    async def links(request: web.Request) -> web.StreamResponse:
        del request
        reachable = not is_loopback(gate.host)
        found = reachable and bool(network_urls(gate.host, gate.port))
        note = WHO if found else NO_NETWORK if reachable else CLOSED
        return web.json_response({"open": found, "note": note, "links": shared_links(gate)})

    async def code(request: web.Request) -> web.StreamResponse:
        link = shared_links(gate).get(request.match_info["name"])
        if link is None:
            raise web.HTTPNotFound(text="no such link")
        try:
            return web.Response(body=qr_svg(link), content_type="image/svg+xml")
        except ImportError:
            raise web.HTTPNotImplemented(
                text=f"QR codes need segno; install it with {install_line('[preview]')}"
            ) from None

    app.router.add_get("/share", links)
    app.router.add_get("/share/{name}.svg", code)
