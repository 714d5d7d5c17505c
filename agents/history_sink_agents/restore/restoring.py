"""A restore from end to end: all that can keep it from being done is found out before anything is written."""

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from uuid import uuid4

from history_sink_agents.formats.claude import CLAUDE, ClaudeFormat
from history_sink_agents.formats.codex import CODEX
from history_sink_agents.formats.format import Found
from history_sink_agents.formats.heads import read_object
from history_sink_agents.formats.names import name_whole
from history_sink_agents.formats.others import CODETETHER, QWEN, rewrite_cwd, rewrite_directory
from history_sink_agents.formats.patterns import PatternFormat
from history_sink_agents.restore.archive import SinkArchive
from history_sink_agents.restore.errors import Refused
from history_sink_agents.restore.lineage import close_lineage
from history_sink_agents.restore.plan import Item, Items, find_items, order_items, place_items
from history_sink_agents.restore.writing import Edit, Writer, find_there
from history_sink_agents.restored import Restored, is_as_restored, remember

QUIET_SECONDS = 60.0
"""A session whose file was written so recently may be at work."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked for. `home` is the agent's; `project` is a real path, None: as it was."""

    asked: str
    home: Path
    project: str | None = None
    is_new: bool = False
    is_partial: bool = False
    rewrites_cwd: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """What is written, in this order, what is there already, and what the user should know beforehand."""

    session: str
    items: tuple[Item, ...]
    there: tuple[Item, ...] = ()
    notes: tuple[str, ...] = ()
    edit: Edit | None = None


def plan_restore(archive: SinkArchive, agent: PatternFormat, wish: Wish, restored: Mapping[str, Restored]) -> Plan:
    """Find out what is to be written where. `restored`: what was restored on this machine before, by paths.

    Raises `Refused`, `Absent`, `Misplaced` and what the sink's calls raise.
    """
    items, missing = close_lineage(archive, wish.asked) if agent is CODEX else find_items(archive, agent, wish.asked)
    archive.check_branch(wish.asked)
    notes = _judge_missing(agent, wish, items, missing)
    session = find_id(agent, items, wish.asked)
    beside = [] if wish.is_new else _find_beside(agent, wish.home, items)
    if not wish.is_new:
        _refuse_live(agent, wish.home, items)
    notes += _describe_versions(items)
    items = place_items(items, agent, wish.home, wish.project)
    if wish.is_new:
        session, items = _rename(agent, items)
    edit = _plan_edit(archive, agent, wish, items)
    there = _find_all_there(archive, wish.home, items, edit, _describe_recent(agent, beside, restored))
    ordered = order_items([item for item in items if item not in there])
    notes += _describe_beside(wish.home, items, beside)
    notes += agent.describe_resume(session, wish.project, [item.relative for item in items])
    return Plan(session, ordered, tuple(there), tuple(notes), edit)


def carry_out(archive: SinkArchive, wish: Wish, plan: Plan, state_folder: Path, advance: Callable[[int], None]) -> None:
    """Write what is planned, and note it for the watcher. Raises `Refused`, `Mismatch`, `OSError`."""
    with Writer(archive, wish.home, advance) as writer:
        for item in plan.items:
            edit = _edit_of(item, plan.edit)
            size, digest = writer.write(item, edit)
            if not edit and not wish.is_new:
                branch = item.log.branch if item.log else None
                path = str((wish.home / item.relative).absolute())
                with suppress(OSError):  # a hint: without it the watcher compares the file with the store
                    remember(state_folder, Restored(path, item.session, branch, size, digest))
        writer.publish()


def _edit_of(item: Item, edit: Edit | None) -> Edit | None:
    """A session's own file is changed, its parts are not."""
    return edit if item.session.count(".") == 1 else None


def find_id(agent: PatternFormat, items: Items, asked: str) -> str:
    """The session's id as the agent knows it."""
    for item in items:
        allowed = agent.match(item.entry.path)
        named = allowed[1].groupdict().get("session") if allowed else None
        if named and name_whole(item.session) == name_whole(asked):
            return str(named)
    return asked.split(".")[1]


def _judge_missing(agent: PatternFormat, wish: Wish, items: Items, missing: list[str]) -> list[str]:
    if not missing:
        return []
    told = f"the archive does not have {'; '.join(missing)}"
    if agent is CODEX:  # a part of a thread resumes without a word, as another history
        raise Refused(f"{wish.asked} is not whole: {told}")
    if not wish.is_partial:
        raise Refused(f"{wish.asked} is not whole: {told}; --partial restores what there is")
    return [told]


def _find_beside(agent: PatternFormat, home: Path, items: Items) -> list[Found]:
    """The files of these sessions that are in this home already, wherever."""
    wholes = {name_whole(item.session) for item in items}
    return [found for found in agent.find(home) if name_whole(found.session) in wholes]


def _refuse_live(agent: PatternFormat, home: Path, items: Items) -> None:
    for whole in sorted({name_whole(item.session) for item in items}):
        session = find_id(agent, [item for item in items if name_whole(item.session) == whole], whole)
        if sign := agent.find_live(home, session):
            raise Refused(f"{agent.name} is at work on {session}: {sign}")


def _describe_recent(agent: PatternFormat, beside: list[Found], restored: Mapping[str, Restored]) -> str | None:
    """Why a session may be at work of which its agent gives no sign. A restore's own writing is none."""
    for found in beside:
        note = restored.get(str(found.path.absolute()))
        try:
            age_seconds = time.time() - found.path.stat().st_mtime
            is_recent = abs(age_seconds) < QUIET_SECONDS  # one of tomorrow is from another clock
            is_at_work = is_recent and not (note and is_as_restored(found.path, note))
        except OSError:  # gone meanwhile
            continue
        if is_at_work:
            return f"{found.path} was written {age_seconds:.0f} s ago: {agent.name} may be at work on it; wait a minute"
    return None


def _find_all_there(archive: SinkArchive, home: Path, items: Items, edit: Edit | None, recent: str | None) -> Items:
    """Those that need not be written. Raises `Refused` where something is in the way, or `recent` if any is left."""
    try:
        there = [item for item in items if find_there(archive, home, item, _edit_of(item, edit))]
    except Refused as error:
        raise Refused(recent or str(error)) from None
    if recent and len(there) < len(items):
        raise Refused(recent)
    return there


def _describe_beside(home: Path, items: Items, beside: list[Found]) -> list[str]:
    """An agent that finds one session in two places takes one of them."""
    places = {item.relative for item in items}
    others = [found for found in beside if found.relative not in places and found.session.count(".") == 1]
    return [f"{home / found.relative} is the same session, and stays; the agent may take either" for found in others]


def _describe_versions(items: Items) -> list[str]:
    """Files that were written anew have a branch for each generation: say which one is taken."""
    notes = []
    for item in items:
        if item.log and item.versions > 1 and item.entry.kind == "lines":
            taken = item.log.branch or "the main log"
            notes.append(f"{item.session} has {item.versions} versions; {taken} is taken, --main or --branch another")
    return notes


def _rename(agent: PatternFormat, items: Items) -> tuple[str, Items]:
    if not isinstance(agent, ClaudeFormat):
        raise Refused(f"{agent.name} has no sessions under a new id: the ids in the files must be that of their name")
    session = str(uuid4())
    return session, [replace(item, relative=CLAUDE.rename(item.relative, session)) for item in items]


def _plan_edit(archive: SinkArchive, agent: PatternFormat, wish: Wish, items: Items) -> Edit | None:
    """qwen-code compares the cwd of the first line with its own; codetether works in the one of its document."""
    if agent is CODETETHER and wish.rewrites_cwd and wish.project is not None:
        return partial(rewrite_directory, project=wish.project)
    main = next((item for item in items if item.log and agent is QWEN), None)
    if main is None or main.log is None or wish.project is None:
        return None
    cwd = read_object(archive.read_first_line(main.session, main.log)).get("cwd")
    if cwd in (None, wish.project):
        return None
    if not wish.rewrites_cwd:
        raise Refused(
            f"qwen-code resumes this session in {cwd} alone, as its first line says so; --rewrite-cwd changes that"
            " line, and the file is then not what was archived"
        )
    return partial(rewrite_cwd, project=wish.project)
