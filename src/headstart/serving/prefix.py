"""The prefix of the addresses at a proxy in front of the server, which links in pages need."""

from starlette.types import ASGIApp, Receive, Scope, Send


class Prefix:
    """Adds the prefix to every request. Some proxies remove it before they pass a request on, others leave it.

    Args:
        app: the application.
        prefix: such as ``/vision``; empty for none.
    """

    def __init__(self, app: ASGIApp, prefix: str) -> None:
        self._app, self._prefix = app, prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if self._prefix and scope["type"] == "http":
            path = scope["path"]
            is_whole = path == self._prefix or path.startswith(f"{self._prefix}/")
            scope = {**scope, "root_path": self._prefix, "path": path if is_whole else self._prefix + path}
        await self._app(scope, receive, send)
