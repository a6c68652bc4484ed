"""What stands before Dagster's web server: requests of other web pages than Dagster's own are refused.

A browser sends what any page asks of it to 127.0.0.1 as well. Dagster runs a query that stands in the URL of a GET
or of a `text/plain` POST, which browsers send without asking, and looks at neither Host nor Origin: any page could
start runs at the operator's UI. So, here:
- Host is a loopback name, or one that the operator named: a stranger's name that resolves to 127.0.0.1 (DNS
  rebinding) makes the stranger's page one of the same origin.
- Origin, which browsers add to each POST and each WebSocket, is the page that Dagster itself served. Programs send
  none.
- A query comes by POST as JSON: other pages may send that only after a preflight, and preflights are refused.
- No page of another origin shows the UI in a frame, where a click meant for it would be one on the UI.

https://fetch.spec.whatwg.org/#cors-preflight-fetch, https://datatracker.ietf.org/doc/html/rfc6454#section-7.3
"""

import ipaddress
import re
from collections.abc import Collection
from http import HTTPStatus
from typing import NamedTuple
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketClose

ALLOW_HOST_VARIABLE = "BIGBROTR_ALLOW_HOST"
"""Environment variable: names, with blanks between them, by which the UI is reached beside the loopback ones."""

SAFE_METHODS = ("GET", "HEAD")
OWN_SITE = ("same-origin", "none")
"""Values of Sec-Fetch-Site on what Dagster's page, or a person in the address bar, asked for."""

FRAMES = {"X-Frame-Options": "SAMEORIGIN", "Content-Security-Policy": "frame-ancestors 'self'"}

_HOST = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]+\]|[^\s:/?#@\[\]]+)(:[0-9]{1,5})?")
_NAME = re.compile(r"(?!-)[0-9A-Za-z_-]{1,63}(\.[0-9A-Za-z_-]{1,63})*")


class Refusal(NamedTuple):
    """Why a request is not let through: an HTTP status and one line."""

    status: HTTPStatus
    why: str


class Guard:
    """ASGI middleware that lets through what Dagster's own pages ask, and what programs ask as JSON."""

    def __init__(self, app: ASGIApp, names: Collection[str] = ()) -> None:
        self._app = app
        self._names = frozenset(map(host_name, names))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        refused = refusal(scope, self._names)
        if refused is None:
            await self._app(scope, receive, _unframed(send))
        elif scope["type"] == "websocket":
            await WebSocketClose(code=1008, reason=refused.why)(scope, receive, send)
        else:
            await PlainTextResponse(f"{refused.why}\n", refused.status)(scope, receive, send)


def host_name(text: str) -> str:
    """The normal form of a host name or IP address that an operator gives.

    Raises:
        ValueError: it is neither, for example a URL, or has a port.
    """
    name = text.strip().rstrip(".").lower()
    if not _NAME.fullmatch(name):
        ipaddress.ip_address(name.strip("[]"))
    return name.strip("[]")


def refusal(scope: Scope, names: Collection[str]) -> Refusal | None:
    """Why a request (ASGI `http` or `websocket`) is refused; None where it is let through.

    `names`: host names, in normal form, that are the UI's own beside the loopback ones.
    """
    headers = Headers(scope=scope)
    host, hosts = headers.get("host", ""), headers.getlist("host")
    name = _name_of(host)
    if len(hosts) != 1 or name is None or not (_is_loopback(name) or name in names):
        named = f"{ALLOW_HOST_VARIABLE} or --allow-host lets it through"
        return Refusal(HTTPStatus.MISDIRECTED_REQUEST, f"Host {host!r} is not a name of this server; {named}")
    is_http = scope["type"] == "http"
    if is_http and scope["method"] == "OPTIONS":
        return Refusal(HTTPStatus.FORBIDDEN, "pages of other origins may not ask here")
    if not is_http or scope["method"] not in SAFE_METHODS:
        for origin in headers.getlist("origin"):
            if not _is_own(origin, host, names):
                return Refusal(HTTPStatus.FORBIDDEN, f"Origin {origin!r} is not this server's")
        if headers.get("sec-fetch-site", "none") not in OWN_SITE:
            return Refusal(HTTPStatus.FORBIDDEN, "a page of another origin asked")
    return _query_refusal(scope["method"], headers) if is_http and _is_graphql(scope["path"]) else None


def _query_refusal(method: str, headers: Headers) -> Refusal | None:
    """GraphQL comes by POST as JSON; by GET a browser gets the page that lets a person write queries."""
    if method == "POST":
        types = headers.getlist("content-type")
        if len(types) != 1 or types[0].partition(";")[0].strip().lower() != "application/json":
            return Refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "a query is sent as application/json")
    elif "text/html" not in headers.get("accept", ""):
        return Refusal(HTTPStatus.METHOD_NOT_ALLOWED, "a query is sent by POST")
    return None


def _is_graphql(path: str) -> bool:
    return path.rstrip("/").endswith("/graphql")


def _name_of(host: str) -> str | None:
    """The host's name in normal form, without its port; None where it is not a host."""
    found = _HOST.fullmatch(host)
    return found["name"].strip("[]").rstrip(".").lower() if found else None


def _is_loopback(name: str) -> bool:
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"


def _is_own(origin: str, host: str, names: Collection[str]) -> bool:
    """Whether a page of this origin came from here.

    Its host is the request's, port and all: another program's page on this machine is another's. A proxy may have
    put its own Host in place of the name that the browser knows, which the operator then has named.
    """
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    if parts.scheme not in ("http", "https") or origin != f"{parts.scheme}://{parts.netloc}":
        return False
    return parts.netloc.lower() == host.lower() or _name_of(parts.netloc) in names


def _unframed(send: Send) -> Send:
    async def with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in FRAMES.items():
                headers.append(name, value)
        await send(message)

    return with_headers
