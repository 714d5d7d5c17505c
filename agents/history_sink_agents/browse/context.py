"""`context_browse`: a session's turns for an agent, as a list of files or one of them, with faults for answers."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from history_sink import Fault, Faulted, HistorySink, HistorySinkError, Malformed, NotFound
from history_sink_agents.browse.export import export
from history_sink_agents.browse.log import find_log

DATA_DIRECTORY = "CODETETHER_DATA_DIR"
_LIST, _SHOW = ("list", "list_turns"), ("show", "show_turn")


@dataclass(frozen=True, slots=True)
class Browsed:
    """An answer: the paths, one a line, or one turn's text. `path` is that turn's file; `paths` are all turns'."""

    text: str
    session: str
    branch: str | None
    paths: tuple[Path, ...]
    path: Path | None = None

    def __repr__(self) -> str:
        return f"Browsed({self.session}, {len(self.paths)} turns)"  # what a repr shows ends up in somebody's log


def context_browse(
    sink: HistorySink,
    session: str,
    action: str = "list",
    turn: int | None = None,
    *,
    branch: str | None = None,
    directory: Path | None = None,
    most_characters: int | None = None,
    timeout_seconds: float = 10.0,
) -> Browsed | Fault:
    """Bring the files of a session up to date, and list them or show one.

    Args:
        sink: Where the session is asked for.
        session: The session.
        action: ``"list"`` (or ``"list_turns"``) for the files' paths, one a line; ``"show"`` (or ``"show_turn"``) for a
            turn's text.
        turn: Which turn to show, counted from 0.
        branch: As for `export`.
        directory: The folder of the files. None: ``history/<session>`` in the data directory, which is
            ``CODETETHER_DATA_DIR``, else ``.codetether-agent`` in the nearest folder upwards that has a ``.git``, else
            in the current one. A branch has a folder of its own in it.
        most_characters: Where to cut the text. Where it is cut, its last line says so.
        timeout_seconds: How long to wait for each answer of a worker.

    Returns:
        The answer; a fault ``no_match`` where the store has no such session or branch; a fault ``backend_error`` where
        it cannot be read, or the files cannot be written.

    Raises:
        Malformed: The action is unknown, there is no turn to show, or the session has no such turn.
    """
    if action not in (*_LIST, *_SHOW):
        raise Malformed(f"an action is list or show, not {str(action)[:40]!r}")
    if action in _SHOW and (type(turn) is not int or turn < 0):
        raise Malformed("show needs turn, a number from 0")
    try:
        if directory is None:
            log = find_log(sink.status(session, timeout_seconds), branch)
            directory = name_directory(log.session, log.branch, find_data_directory(os.environ, Path.cwd()))
            branch = log.branch
        done = export(sink, session, directory, branch=branch, timeout_seconds=timeout_seconds)
        paths = tuple(directory / name for name in done.files)
        if action in _LIST:
            text = cut(paths_text(paths), most_characters)
            return Browsed(text, done.session, done.branch, paths)
        if turn is not None and turn < len(paths):
            text = cut(paths[turn].read_bytes().decode("utf-8", "replace"), most_characters)
            return Browsed(text, done.session, done.branch, paths, paths[turn])
    except NotFound:
        return Fault("no_match")
    except Faulted as error:
        return error.fault
    except Malformed:
        raise
    except HistorySinkError as error:
        return Fault("backend_error", str(error))
    except OSError as error:
        return Fault("backend_error", f"the turns' files: {error.strerror or type(error).__name__}")
    raise Malformed(f"the session has turns 0 to {len(paths) - 1}, not {turn}" if paths else "the session has no turns")


def paths_text(paths: tuple[Path, ...]) -> str:
    """Full paths, one a line."""
    return "\n".join(map(str, paths))


def cut(text: str, most_characters: int | None) -> str:
    """The text, cut behind its last whole line that fits, with a line that says how much is missing."""
    if most_characters is None or len(text) <= most_characters:
        return text
    kept = text[:most_characters]
    kept = kept[: kept.rfind("\n") + 1] or kept
    return f"{kept.removesuffix(chr(10))}\n[cut: {len(text) - len(kept):,} of {len(text):,} characters more]"


def find_data_directory(env: Mapping[str, str], folder: Path) -> Path:
    """Where this family of programs keeps a project's data."""
    if given := env.get(DATA_DIRECTORY, "").strip():
        return Path(given).absolute()
    folder = folder.absolute()
    home = next((each for each in (folder, *folder.parents) if (each / ".git").exists()), folder)
    return home / ".codetether-agent"


def name_directory(session: str, branch: str | None, data: Path) -> Path:
    """The folder of a log's turns in the data directory."""
    folder = data / "history" / session
    return folder / "branches" / branch if branch else folder
