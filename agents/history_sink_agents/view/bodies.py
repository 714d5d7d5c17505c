"""Bytes of a transcript as they are: lines, whole logs, pictures. No browser is let take them for a page."""

from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response, StreamingResponse

from history_sink import Malformed, NotFound
from history_sink_agents.browse.log import read_lines, read_pieces
from history_sink_agents.render import render
from history_sink_agents.sealing.showing import open_for_show
from history_sink_agents.view.access import BODY_POLICY
from history_sink_agents.view.images import read_image
from history_sink_agents.view.site import TIMEOUT_SECONDS, Site, link_session, read_number

_SHOWN_BYTES = 4 * 1024 * 1024


def send_raw(site: Site, request: Request) -> Response:
    """Bytes ``[start, end)`` of a log, or all of it, as text; much of it as a file to keep."""
    _, _, chosen = site.find(request)
    start, end = read_number(request, "start"), read_number(request, "end", chosen.log.end)
    if not 0 <= start <= end <= chosen.log.end:
        raise Malformed("bytes are a range within the log")
    headers = {"Content-Security-Policy": BODY_POLICY}
    if end - start > _SHOWN_BYTES or "end" not in request.query_params:
        headers["Content-Disposition"] = f'attachment; filename="{chosen.log.session}.jsonl"'
    pieces = read_pieces(site.sink, chosen.log, start, end, TIMEOUT_SECONDS)
    return StreamingResponse(pieces, headers=headers, media_type="text/plain; charset=utf-8")


def send_image(site: Site, request: Request) -> Response:
    """A picture that a line holds, where it is one."""
    _, _, chosen = site.find(request)
    start, end, place = (read_number(request, name) for name in ("start", "end", "part"))
    if not 0 <= start < end <= chosen.log.end:
        raise Malformed("bytes are a range within the log")
    lines = [line for batch in read_lines(site.sink, chosen.log, start, end) for line in batch]
    parts = render(lines, open_line=open_for_show(chosen.log.session))[0].parts
    found = read_image(parts[place].text) if place < len(parts) and parts[place].kind == "image" else None
    if found is None:
        return PlainTextResponse("That is no picture that is shown.\n", 415)
    kind, body = found
    return Response(body, headers={"Content-Security-Policy": BODY_POLICY}, media_type=kind)


def go_to_offset(site: Site, request: Request) -> Response:
    """To the turn that has the byte at ``offset``, among the others."""
    _, _, chosen = site.find(request)
    offset = read_number(request, "offset")
    index = site.indexes.get(chosen.log)
    index.reach(site.sink, chosen.log, offset=offset)
    if offset >= chosen.log.end:
        raise NotFound("The log ends before that byte.")
    number = index.find_line(offset)
    return RedirectResponse(link_session(chosen.log.session, chosen.query, turn=number) + f"#t{number}", 303)
