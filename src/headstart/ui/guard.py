"""Protection of every page: which requests are answered, and what a browser may do with a response.

Any web page that the user has open can send requests to a server on this machine. So a request must name this machine
as its host (against DNS rebinding), and a request that changes something must come from a page of this server (against
cross-site request forgery). A server that other machines can reach needs a token as well.
"""

import hashlib
import hmac
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

COOKIE = "headstart-token"
_SAFE_METHODS = ("GET", "HEAD")
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'unsafe-inline'; img-src 'self' data: blob:; "
        "connect-src 'self'; media-src 'self' blob:; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self)",
    "Cache-Control": "no-store",
}

Next = Callable[[Request], Awaitable[Response]]


def guards(token: str | None, *, loopback_only: bool) -> list[Middleware]:
    """The middleware before every page.

    Args:
        token: that a browser sends once; None if none is required.
        loopback_only: accept only requests that name this machine as their host.
    """
    hosts = ["127.0.0.1", "localhost", "[::1]"] if loopback_only else ["*"]
    return [
        Middleware(TrustedHostMiddleware, allowed_hosts=hosts, www_redirect=False),
        Middleware(BaseHTTPMiddleware, dispatch=_Guard(token)),
    ]


class _Guard:
    def __init__(self, token: str | None) -> None:
        self._token = token
        self._cookie = hashlib.sha256((token or "").encode()).hexdigest()

    async def __call__(self, request: Request, following: Next) -> Response:
        """Answer or refuse a request."""
        response = self._refusal(request) or await following(request)
        response.headers.update(HEADERS)
        return response

    def _refusal(self, request: Request) -> Response | None:
        if request.method not in _SAFE_METHODS and not _is_ours(request):
            return Response("This request came from another page.", 403)
        return self._check_token(request) if self._token else None

    def _check_token(self, request: Request) -> Response | None:
        sent_token = request.query_params.get("token")
        if sent_token is not None and _same(sent_token, self._token or ""):
            answer = RedirectResponse(request.url.path, 303)
            answer.set_cookie(COOKIE, self._cookie, httponly=True, samesite="strict")
            return answer
        return None if _same(request.cookies.get(COOKIE, ""), self._cookie) else HTMLResponse(_TOKEN_PAGE, 401)


def _same(sent: str, expected: str) -> bool:
    """Whether two texts are equal, compared in constant time."""
    return hmac.compare_digest(sent.encode("utf-8", "replace"), expected.encode("utf-8", "replace"))


def _is_ours(request: Request) -> bool:
    """Whether a changing request comes from a page of this server. Programs send neither header."""
    origin, site = request.headers.get("origin"), request.headers.get("sec-fetch-site")
    return (origin is None or urlsplit(origin).netloc == request.headers.get("host")) and site in (
        None,
        "same-origin",
        "none",
    )


_TOKEN_PAGE = """<!doctype html><html lang="en">
<meta name="viewport" content="width=device-width"><title>headstart</title>
<body style="font:1rem/1.5 system-ui;max-width:24rem;margin:20vh auto;padding:0 1rem;color-scheme:light dark">
<h1 style="font-size:1.4rem">headstart</h1><form><label>Token of this server<br>
<input name="token" type="password" autofocus style="font:inherit;width:100%"></label>
<p><button style="font:inherit">Open</button></form>"""
