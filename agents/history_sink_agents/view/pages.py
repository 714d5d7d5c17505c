"""The pages: sessions, one session, two logs side by side, search, a pointer."""

import json

from starlette.requests import Request
from starlette.responses import Response

from history_sink import Fault, Malformed, NotFound, PointerHandle
from history_sink_agents.browse.log import split_lines
from history_sink_agents.render import render
from history_sink_agents.sealing.showing import open_for_show
from history_sink_agents.view.overview import list_newest
from history_sink_agents.view.parting import find_parting
from history_sink_agents.view.search import ask
from history_sink_agents.view.shown import group_quiet, show_turn
from history_sink_agents.view.site import TIMEOUT_SECONDS, Site, choose_log, link_session, read_number

SHOWN_SESSIONS = 500
_MOST_TURNS = 500
_TURNS_BEFORE = 2


def show_sessions(site: Site, request: Request) -> Response:
    """All sessions, newest first, or those with a word in their names."""
    wanted = request.query_params.get("name", "").strip()
    sessions = list_newest(site.sink, wanted)
    shown = sessions.found[:SHOWN_SESSIONS]
    return site.render("sessions.html", wanted=wanted, sessions=sessions, shown=shown)


def show_session(site: Site, request: Request) -> Response:
    """One log of a session, from a turn on, or from a little before it; ``turn=last``: its end."""
    status, logs, chosen = site.find(request)
    if request.query_params.get("turn") == "last":
        piece = site.take_tail(chosen)
    elif "offset" in request.query_params:
        piece = site.take_piece(chosen, read_number(request, "turn"), read_number(request, "offset"))
    else:
        first = max(0, read_number(request, "turn") - _TURNS_BEFORE)
        piece = site.take_piece(chosen, first, None if first else 0)
    return site.render("session.html", status=status, logs=logs, chosen=chosen, piece=piece)


def show_turns(site: Site, request: Request) -> Response:
    """More turns of a log, for a page that is open."""
    _, _, chosen = site.find(request)
    piece = site.take_piece(chosen, read_number(request, "turn"), read_number(request, "offset"))
    prefix = request.query_params.get("prefix", "t")
    return site.render("turns.html", piece=piece, prefix=prefix if prefix in ("l", "r") else "t")


def show_beside(site: Site, request: Request) -> Response:
    """Two logs of a session side by side, from the turn on at which they part."""
    status, logs, left = site.find(request)
    right = choose_log(logs, request.query_params.get("other_branch", ""), request.query_params.get("other_stray", ""))
    if right is None:
        raise NotFound(f"The store has no such log of session {status.session}.")
    parting = find_parting(site.sink, left.log, right.log, TIMEOUT_SECONDS)
    pieces = [site.take_piece(each, parting.line, parting.offset) for each in (left, right)]
    return site.render("beside.html", status=status, parting=parting, pieces=pieces)


def show_search(site: Site, request: Request) -> Response:
    """What was found for a question, in all sessions or in one."""
    query = request.query_params.get("q", "").strip()
    session = request.query_params.get("session", "").strip()
    answer = ask(site.sink, query, session) if query else None
    return site.render("search.html", query=query, session=session, answer=answer)


def show_pointer(site: Site, request: Request) -> Response:
    """What a pointer leads to, and the pointer itself, to be copied."""
    handle = read_handle(request)
    answer = site.sink.resolve(handle, TIMEOUT_SECONDS, stored=True)
    text = json.dumps(handle.encode())
    if isinstance(answer, Fault):
        status = {"no_match": 404, "denied": 403}.get(answer.kind, 502)
        return site.render("pointer.html", status, handle=handle, text=text, fault=answer, runs_=[], home=None)
    start, place = handle.byte_range[0] if handle.byte_range else 0, find_log_of(handle.key)
    lines = split_lines(answer if answer.endswith(b"\n") else answer + b"\n")[:_MOST_TURNS]
    opener = open_for_show(place[0]) if place else None
    runs = group_quiet(map(show_turn, render(lines, offset=start, open_line=opener)))
    home = link_session(place[0], place[1], "/at", offset=start) if place else None
    return site.render("pointer.html", handle=handle, text=text, fault=None, runs_=runs, home=home)


def read_handle(request: Request) -> PointerHandle:
    """The handle that a link holds: its fields, or its JSON in ``handle``. Raises `Malformed`."""
    if given := request.query_params.get("handle"):
        try:
            return PointerHandle.decode(json.loads(given))
        except (ValueError, RecursionError):
            raise Malformed("a handle is a JSON object with bucket, key and byte_range") from None
    query = request.query_params
    if not query.get("bucket") or not query.get("key"):
        raise Malformed("a pointer has a bucket and a key")
    span = (read_number(request, "start"), read_number(request, "end")) if "end" in query else None
    return PointerHandle(query["bucket"], query["key"], span)


def find_log_of(key: str) -> tuple[str, dict[str, str]] | None:
    """The session that a key names, and what chooses its log in a link; None where it is not to be told."""
    parts = key.split("/")
    if parts[-1:] != ["history.jsonl"]:
        return None
    if len(parts) > 4 and parts[-3] == "branches":
        return parts[-4], {"branch": parts[-2]}
    return (parts[-2], {}) if len(parts) > 1 and parts[-2] else None
