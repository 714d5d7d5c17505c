"""Verify all that lies under the prefix: each session's logs, what is beside them, and the dead letters."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

from history_sink.errors import Malformed
from history_sink_worker.archive.erasure import second_sweep_seconds
from history_sink_worker.archive.names import DEAD
from history_sink_worker.archive.tombstone import Deleted, find_tombstone, read_deleted_at
from history_sink_worker.archive.verification import Checked, Finding, verify_log
from history_sink_worker.dead.letter_store import list_names, read_whole
from history_sink_worker.life.age import show_time
from history_sink_worker.life.inventory import Folder, list_folders
from history_sink_worker.service.service import Service
from history_sink_worker.store import Blob, Reply, Request, Steps, run

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Verified:
    """One session, or (`session` is "") what is no session's; `messages` and `size_bytes` are those of its logs."""

    session: str
    objects: int
    logs: int = 0
    messages: int = 0
    size_bytes: int = 0
    findings: list[Finding] = field(default_factory=list)


class Inspection:
    """One pass. `advance` is told how many bytes have been read, each time."""

    def __init__(self, work: Service, advance: Callable[[int], None]) -> None:
        self._work, self._advance = work, advance

    def verify(self, session: str | None = None) -> Iterator[Verified]:
        """Everything, or one session. Raises `StoreError`."""
        for folder in list_folders(self._work, session):
            yield self._verify_folder(folder)
        findings = [finding for name in list_names(self._work) for finding in self._verify_letter(name, session)]
        if findings:
            yield Verified("", 0, findings=findings)

    def _verify_folder(self, folder: Folder) -> Verified:
        checked = [*self._verify_logs(folder)] if folder.session and folder.objects else []
        findings = [finding for each in checked for finding in each.findings]
        findings += [Finding("problem", "foreign", key, "no key of ours; it is left alone") for key in folder.foreign]
        logs = [each for each in checked if each.size_bytes]
        messages, size = sum(each.messages for each in logs), sum(each.size_bytes for each in logs)
        objects = folder.objects + len(folder.foreign)
        return Verified(folder.session, objects, len(logs), messages, size, findings)

    def _verify_logs(self, folder: Folder) -> Iterator[Checked]:
        try:
            for branch in (None, *sorted(folder.branches)):
                yield self._run(verify_log(self._work.context, self._work.log(folder.session, branch)))
        except Deleted:
            yield self._verify_grave(folder.session)

    def _verify_grave(self, session: str) -> Checked:
        """What lies beside a tombstone is on its way to be swept, or left over."""
        checked, key = Checked(), self._work.log(session).base
        stone = self._run(find_tombstone(self._work.settings.prefix, session))
        deleted_at = read_deleted_at(stone.meta) if stone else 0.0
        checked.note("deleted", key, f"deleted at {show_time(deleted_at)}")
        folder = next(list_folders(self._work, session), None)
        if folder is not None and folder.objects > 1:
            text = f"{folder.objects - 1} objects beside a tombstone"
            waits = self._work.context.now() - deleted_at < second_sweep_seconds(self._work.context)
            (checked.note if waits else checked.problem)("left over", key, text)
        return checked

    def _verify_letter(self, name: str, session: str | None) -> Iterator[Finding]:
        key = self._work.settings.prefix + DEAD + name
        try:
            letter = read_whole(self._work, name)
        except Malformed as error:
            if session is None:
                yield Finding("problem", "dead letter", key, str(error))
            return
        owner = letter.session if letter else None
        if letter is not None:
            self._advance(letter.size_bytes)
        if owner and session in (None, owner) and self._run(find_tombstone(self._work.settings.prefix, owner)):
            yield Finding("problem", "dead letter", key, f"of session {owner}, which was deleted")

    def _run(self, steps: Steps[T]) -> T:
        return run(steps, self._perform)

    def _perform(self, request: Request) -> Reply:
        reply = self._work.store.perform(request)
        if isinstance(reply, Blob):
            self._advance(len(reply.body))
        return reply
