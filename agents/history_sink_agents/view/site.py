"""The site: what its pages ask of the archive, and how they become HTML."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from rich.filesize import decimal
from starlette.requests import Request
from starlette.responses import HTMLResponse

from history_sink import HistorySink, Malformed, NotFound, Status
from history_sink_agents.browse.log import Log
from history_sink_agents.render import Turn
from history_sink_agents.view.index import PIECE_TURNS, Indexes, read_tail, read_turns
from history_sink_agents.view.overview import ShownLog, describe_logs
from history_sink_agents.view.shown import Run, group_quiet, show_turn
from history_sink_agents.view.texts import show, show_time

TIMEOUT_SECONDS = 10.0
_HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Piece:
    """Some turns of a log as they are shown, where those before begin, and those behind, as number and offset."""

    shown: ShownLog
    runs: tuple[Run, ...]
    before: int | None
    behind: tuple[int, int] | None


@dataclass(frozen=True, slots=True)
class Site:
    """A sink, and what is remembered of the logs that were looked at."""

    sink: HistorySink
    indexes: Indexes = field(default_factory=Indexes)
    templates: Environment = field(default_factory=lambda: make_templates())

    def render(self, template: str, http_status: int = 200, **values: Any) -> HTMLResponse:
        """A page by its template, which escapes whatever it is given."""
        return HTMLResponse(self.templates.get_template(template).render(**values), http_status)

    def find(self, request: Request) -> tuple[Status, list[ShownLog], ShownLog]:
        """A session's status, all its logs, and the one that a request asks for. Raises `NotFound`, `Unavailable`."""
        status = self.sink.status(request.path_params["session"], TIMEOUT_SECONDS)
        logs = describe_logs(status)
        chosen = choose_log(logs, request.query_params.get("branch", ""), request.query_params.get("stray", ""))
        if chosen is None:
            raise NotFound(f"The store has no such log of a session {status.session}.")
        return status, logs, chosen

    def take_piece(self, shown: ShownLog, first: int, offset: int | None = None) -> Piece:
        """The turns of a log from `first` on, which starts at `offset` where that is known. Raises as `read_turns`."""
        turns = read_turns(self.sink, shown.log, self.indexes.get(shown.log), first, offset)
        return _make_piece(shown, turns, first)

    def take_tail(self, shown: ShownLog) -> Piece:
        """The last turns of a log. Raises as `read_tail`."""
        turns = read_tail(self.sink, shown.log, self.indexes.get(shown.log))
        return _make_piece(shown, turns, turns[0].number if turns else 0)


def _make_piece(shown: ShownLog, turns: list[Turn], first: int) -> Piece:
    end = turns[-1].end if turns else shown.log.end
    return Piece(
        shown,
        tuple(group_quiet(map(show_turn, turns))),
        max(0, first - PIECE_TURNS) if first else None,
        (first + len(turns), end) if end < shown.log.end else None,
    )


def choose_log(logs: list[ShownLog], branch: str, stray: str) -> ShownLog | None:
    """The log that a link means: a stray by its key, else a branch, else the main log."""
    query = {"stray": stray} if stray else {"branch": branch} if branch else {}
    return next((each for each in logs if each.query == query), None)


def read_number(request: Request, name: str, default: int = 0) -> int:
    """A number from a link. Raises `Malformed`."""
    text = request.query_params.get(name, "")
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise Malformed(f"{name} is a number")
    return int(text)


def link_session(session: str, query: dict[str, str] | None = None, tail: str = "", **more: object) -> str:
    """The link of a session's page: ``/s/<session>/<tail>?branch=…&turn=…``."""
    values = {**(query or {}), **{name: str(value) for name, value in more.items()}}
    return f"/s/{quote(session, safe='')}{tail}" + (f"?{urlencode(values)}" if values else "")


def link_pointer(log: Log, start: int, end: int) -> str:
    """The link that is a pointer: to these bytes of a log, for ever."""
    return "/pointer?" + urlencode({"bucket": log.bucket, "key": log.key, "start": start, "end": end})


def make_templates() -> Environment:
    """Templates that escape all they are given, and miss nothing in silence."""
    env = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.filters |= {"show": show, "bytes": decimal, "time": show_time}
    env.globals |= {"link_session": link_session, "link_pointer": link_pointer}
    return env
