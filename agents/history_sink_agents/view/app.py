"""The application: addresses to pages, errors to pages, and nothing but GET."""

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TypeAlias

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from history_sink import Faulted, HistorySink, HistorySinkError, Malformed, NotFound, Unavailable
from history_sink_agents.view import bodies, pages
from history_sink_agents.view.access import Access
from history_sink_agents.view.site import Site

_Page: TypeAlias = Callable[[Site, Request], Response]

_PAGES: dict[str, _Page] = {
    "/": pages.show_sessions,
    "/search": pages.show_search,
    "/pointer": pages.show_pointer,
    "/s/{session}": pages.show_session,
    "/s/{session}/turns": pages.show_turns,
    "/s/{session}/beside": pages.show_beside,
    "/s/{session}/raw": bodies.send_raw,
    "/s/{session}/image": bodies.send_image,
    "/s/{session}/at": bodies.go_to_offset,
}


def make_app(sink: HistorySink, token: str, hosts: Iterable[str] = ()) -> Starlette:
    """The page as an ASGI application.

    Args:
        sink: Who is asked.
        token: What lets somebody in.
        hosts: The values of the header `Host` that are answered, such as ``127.0.0.1:8000``; none: any.

    Returns:
        The application. Pages run in threads of their own, since a sink waits.
    """
    site = Site(sink)
    routes: list[BaseRoute] = [Route(path, _serve(site, page), methods=["GET"]) for path, page in _PAGES.items()]
    static = Mount("/static", StaticFiles(directory=Path(__file__).parent / "static"))
    return Starlette(
        routes=[*routes, static],
        middleware=[Middleware(Access, token=token, hosts=tuple(hosts))],
        exception_handlers={
            HistorySinkError: partial(_show_error, site),
            HTTPException: partial(_show_http_error, site),
        },
    )


def _serve(site: Site, page: _Page) -> Callable[[Request], Response]:
    def endpoint(request: Request) -> Response:
        return page(site, request)

    return endpoint


def _show_error(site: Site, request: Request, error: Exception) -> Response:
    status, title = _judge(error)
    return site.render("error.html", status, title=title, text=str(error))


def _show_http_error(site: Site, request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    return site.render("error.html", status, title="There is no such page", text="")


def _judge(error: Exception) -> tuple[int, str]:
    if isinstance(error, NotFound):
        return 404, "There is nothing here"
    if isinstance(error, Malformed):
        return 400, "That link cannot be"
    if isinstance(error, Faulted):
        kinds = {"no_match": (404, "There is nothing here"), "denied": (403, "The store forbids it")}
        return kinds.get(error.fault.kind, (502, "The store cannot be read"))
    if isinstance(error, Unavailable):
        return 503, "Nobody answers"
    return 502, "The store cannot be read"
