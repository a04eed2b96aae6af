"""What the preview and its waiting room share: checks of requests, the page's files, the login."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web

from reactive.live.web.security import Gate, PerAddress, Right

PAGE = Path(__file__).resolve().parent / "page"
TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
ONLY_LOOKS = "this link can only look; ask who plays for the link to play"
# the remote control for phones: with the right to play, or only to look
PAGES = {"/remote": "remote.html", "/look": "remote.html"}
LOOKING = frozenset(("/ws", "/lanes"))
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class RequestGuard:
    """Checks every request.

    Attributes
    ----------
    gate
        Knows names, origins and secrets.
    index
        The file that ``/`` shows.
    logins
        Limits the login attempts of each address.
    own
        Paths with a token of their own, and a function that checks a request's token.
    pages
        Further paths that show a file of the page.
    looking
        Paths that who can only look may get, beside the page itself.
    """

    gate: Gate
    index: str
    logins: PerAddress
    own: Mapping[str, Callable[[web.Request], bool]] = field(default_factory=dict)
    pages: Mapping[str, str] = field(default_factory=dict)
    looking: frozenset[str] = frozenset()

    def add_routes(self, app: web.Application) -> None:
        """Add the page's files and the login."""
        for path in ("/", *self.pages):
            app.router.add_get(path, self._file)
        app.router.add_get("/page/{name}", self._file)
        app.router.add_post("/login", self._login)

    @web.middleware
    async def guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Refuse requests that are not allowed, and add security headers to every answer."""
        headers = self.gate.headers(request.headers.get("Host"))
        try:
            self._check(request)
            response = await handler(request)
        except web.HTTPException as problem:
            problem.headers.update(headers)
            raise
        if not response.prepared:
            response.headers.update(headers)
        return response

    def _check(self, request: web.Request) -> None:
        host, origin = request.headers.get("Host"), request.headers.get("Origin")
        if len(request.headers.getall("Host", [])) != 1 or not self.gate.knows_host(host):
            raise web.HTTPForbidden(text="unknown host")
        if origin is not None and not self.gate.knows_origin(origin, host):
            raise web.HTTPForbidden(text="foreign origin")
        # another site may link to the page itself, which has no secret, but to nothing else
        site = request.headers.get("Sec-Fetch-Site", "none")
        navigating = (
            request.path in ("/", *self.pages) and request.headers.get("Sec-Fetch-Mode", "navigate") == "navigate"
        )
        if site in ("cross-site", "same-site") and not navigating:
            raise web.HTTPForbidden(text="foreign site")
        # a browser always sends the origin of these
        if origin is None and (request.method != "GET" or request.path == "/ws"):
            raise web.HTTPForbidden(text="no origin")
        if request.path in self.own:
            # its token is valid for nothing else, and the page's cookie is not valid for it
            if not self.own[request.path](request):
                raise web.HTTPUnauthorized(text="this address is no longer, or was never, to be looked at")
            return
        public = request.path in ("/", "/login", *self.pages) or request.path.startswith("/page/")
        right = self.right(request)
        if not public and right is None:
            raise web.HTTPUnauthorized(text="open the address that was printed in the terminal")
        if not public and right == "look" and (request.method != "GET" or request.path not in self.looking):
            raise web.HTTPForbidden(text=ONLY_LOOKS)

    def right(self, request: web.Request) -> Right | None:
        """Return what a request's cookie opens."""
        return self.gate.right_of_cookie(request.cookies.get(self.gate.cookie))

    async def _file(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info.get("name", self.pages.get(request.path, self.index))
        # names are looked up in a list, never joined to a path
        file = {entry.name: entry for entry in PAGE.iterdir() if entry.suffix in TYPES}.get(name)
        if file is None:
            raise web.HTTPNotFound(text="no such file")
        return web.Response(body=file.read_bytes(), content_type=TYPES[file.suffix], charset="utf-8")

    async def _login(self, request: web.Request) -> web.StreamResponse:
        if request.content_type != "application/json":
            raise web.HTTPUnsupportedMediaType(text="JSON only")
        # a logged-in browser is not locked out by the attempts of others
        known = self.right(request)
        if known != "play" and not self.logins.take(request.remote or ""):
            raise web.HTTPTooManyRequests(text="too many attempts")
        try:
            data = json.loads(await request.text())
        except (ValueError, RecursionError):
            raise web.HTTPBadRequest(text="no JSON") from None
        given = self.gate.right_of_token(data.get("token")) if isinstance(data, dict) else None
        if known is None and given is None:
            raise web.HTTPForbidden(text="wrong token")
        response = web.json_response({"ok": True})
        # an address that can only look takes nothing away from a browser that plays
        key = self.gate.key if "play" in (known, given) else self.gate.look_key
        response.set_cookie(self.gate.cookie, key, httponly=True, samesite="Strict", path="/")
        return response
