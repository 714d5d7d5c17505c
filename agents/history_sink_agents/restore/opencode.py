"""OpenCode: a document for ``opencode import``, out of the logs that were made of its database's events."""

import os
from collections.abc import Callable
from pathlib import Path

from history_sink_agents.formats.names import name_whole
from history_sink_agents.formats.opencode import OLDER
from history_sink_agents.restore.archive import SinkArchive
from history_sink_agents.restore.errors import Absent, Refused
from history_sink_agents.restore.events import encode_export, make_export
from history_sink_agents.restore.plan import group_entries
from history_sink_agents.restore.restoring import Wish


def restore_export(archive: SinkArchive, wish: Wish, *, is_dry: bool, tell: Callable[[str], None]) -> None:
    """Write the document into the project's folder. Raises `Refused`, `Absent`, `OSError`, and what a sink raises."""
    if wish.is_new or wish.rewrites_cwd:
        raise Refused("opencode imports a session under its own id, into the folder that it is run in")
    found = {
        session: archive.find_log(session) for session in group_entries(archive.read_manifest(wish.asked), wish.asked)
    }
    missing = [session for session, log in found.items() if log is None]
    if not found or len(missing) == len(found):
        raise Absent(f"the archive has nothing of {wish.asked}")
    archive.check_branch(wish.asked)
    if missing and not wish.is_partial:
        raise Refused(f"{wish.asked} is not whole: the archive does not have {', '.join(missing)}; see --partial")
    logs = {session: log[0] for session, log in found.items() if log}
    export = make_export(archive.read_log(session, logs[session]) for session in sorted(logs, key=_order))
    session = str(export["info"]["id"])
    folder = Path(wish.project or os.getcwd())
    path = folder / f"{name_whole(wish.asked)}.json"
    if os.path.lexists(path):
        raise Refused(f"{path} is there; nothing is overwritten: move it away")
    told = f"{path}  {len(export['messages'])} messages of {', '.join(sorted(logs))}"
    if is_dry:
        tell(f"would write  {told}")
        return
    number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(number, "wb") as file:
        file.write(encode_export(export))
    tell(f"write        {told}")
    tell(f"Now, in the project: opencode import {path} && opencode run -s {session}")


def _order(session: str) -> tuple[int, str]:
    """As they came to be: the events from the session's beginning, the rows older than an import, the events since."""
    part = session.split(".")[2] if session.count(".") > 1 else ""
    return (0 if not part else 1 if part == OLDER else 2, session)
