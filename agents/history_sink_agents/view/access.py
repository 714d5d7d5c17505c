"""Who may look: who has the token. And what a browser may do with what it gets: nearly nothing."""

import hmac
from collections.abc import Iterable
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

PAGE_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
BODY_POLICY = "default-src 'none'; frame-ancestors 'none'; sandbox"
"""For what is no page of ours, but a transcript's bytes."""

_HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_REFUSAL = "Open the link that `history-sink view` has printed: it holds the token.\n"


class Access:
    """Lets in who has the token, in the link's `token` first, then in a cookie; and sets the headers of each answer."""

    def __init__(self, app: ASGIApp, token: str, hosts: Iterable[str] = ()) -> None:
        """Wrap `app`. `hosts`: the values of the header `Host` that are answered; none: any."""
        self._app = app
        self._token = token
        self._hosts = frozenset(hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.setdefault("Content-Security-Policy", PAGE_POLICY)
                for name, value in _HEADERS.items():
                    headers[name] = value
            await send(message)

        answer = self._refuse(scope) or self._app
        await answer(scope, receive, send_guarded)

    def _refuse(self, scope: Scope) -> Response | None:
        """The answer to who may not look, or who comes with the link; None: go on."""
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if self._hosts and host not in self._hosts:
            return PlainTextResponse("This is no name of this page.\n", 403)
        if scope["method"] not in ("GET", "HEAD"):
            return PlainTextResponse("There is nothing to write here.\n", 405)
        query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        given = next((value for name, value in query if name == "token"), None)
        name = f"history-sink-{host.rpartition(':')[2]}"
        if given is not None and self._is_token(given):
            left = urlencode([each for each in query if each[0] != "token"])
            answer = RedirectResponse("/" + scope["path"].lstrip("/") + (f"?{left}" if left else ""), 303)
            answer.set_cookie(name, self._token, httponly=True, samesite="lax", path="/")
            return answer
        if self._is_token(cookie_parser(headers.get("cookie", "")).get(name, "")):
            return None
        return PlainTextResponse(_REFUSAL, 403)

    def _is_token(self, given: str) -> bool:
        return hmac.compare_digest(given.encode(), self._token.encode())
