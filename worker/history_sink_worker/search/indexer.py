"""Keep an index level with the bucket: one thread of the worker's main process, for as long as that lives.

Notices make it fast, a LIST makes it right: at the start, once an hour, and after notices may have been lost.
"""

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from history_sink_worker import log
from history_sink_worker.archive.names import Log, parse_key
from history_sink_worker.outage import Outage
from history_sink_worker.search.folder import has_dropped, is_level, mark_level, measure_folder, new_folder
from history_sink_worker.search.notices import Notices
from history_sink_worker.search.opening import open_feed
from history_sink_worker.search.pace import USUAL_PACE, Pace
from history_sink_worker.search.progress import Progress
from history_sink_worker.search.rebuild import Rebuild
from history_sink_worker.search.state import State, Wishes
from history_sink_worker.search.wanted import Wanted
from history_sink_worker.service.service import Service
from history_sink_worker.store import StoreError

_log = log.get("history_sink_worker")
_LATER_SECONDS = 5.0
_MOST_FAILURES = 3


class Indexer:
    """Owns the folder `home`, which `state.take_home` has made its own."""

    def __init__(
        self,
        work: Service,
        home: Path,
        notices: Notices | None,
        pace: Pace = USUAL_PACE,
        tell: Callable[[State], None] = lambda state: None,
    ) -> None:
        self._work, self._home, self._notices, self._pace, self._tell = work, home, notices, pace, tell
        self._wishes = Wishes(home)
        self._wanted = Wanted()
        self._outage = Outage()
        self._comparing: Iterator[int] | None = None
        self._compare_at = self._compare_seconds = 0.0
        self._compared_at: float | None = None
        self._compare_began = self._doubted_at = 0.0
        self._committed_at = self._beat_at = 0.0
        self._rebuild: Rebuild | None = None
        self._rebuild_at = 0.0
        state = State.read(home)
        self._purge_since = state.purge_since if state else None
        self._feed = open_feed(work, home, state.folder if state else None)
        if self._purge_since is None and has_dropped(self._feed.index.folder):
            self._purge_since = time.time()  # a kill came between a deletion's commit and the state that tells of it
        self._progress = Progress(self._feed.draft.done, time.monotonic())

    def run(self, ending: threading.Event) -> None:
        """Until `ending` is set. A store that is away is waited for. Raises what is wrong with the index itself."""
        while not ending.wait(self._pace.tick if not self._is_busy else 0.0):
            try:
                self.turn(time.time())
            except StoreError as error:
                self._comparing, self._compare_at = None, time.time() + self._pause_seconds
                self._tell_away(error)
                ending.wait(1.0)
            except Exception:
                self.abandon()
                raise
        self.close()

    def turn(self, now: float) -> None:
        """Do what is due. `now` is Unix seconds. Raises `StoreError`."""
        self._listen(now)
        try:
            self._see_to_wanted(now)
            self._compare(now)
            self._see_to_rebuild(now)
        finally:
            self._commit(now)

    def close(self) -> None:
        """Commit what there is, and let go of the index."""
        if self._rebuild is not None:
            self._rebuild.give_up()
        self._feed.draft.commit()
        self._beat(time.time())
        self._feed.index.close()
        self._wishes.close()

    def abandon(self) -> None:
        """Let go of the index as its last commit has it."""
        if self._rebuild is not None:
            self._rebuild.give_up()
        self._feed.index.close()
        self._wishes.close()

    @property
    def _pause_seconds(self) -> float:
        """Between two comparisons, where only they tell: a LIST that takes long is not made all the time."""
        return max(self._pace.compare_again, 20 * self._compare_seconds)

    @property
    def _is_busy(self) -> bool:
        return bool(self._wanted.is_pressing or self._comparing)

    @property
    def _is_level(self) -> bool:
        return is_level(self._feed.index.folder)

    def _listen(self, now: float) -> None:
        if self._notices is not None:
            told = self._notices.read(time.monotonic())
            if told is None:
                self._compare_at = min(self._compare_at, now + self._pause_seconds)
                self._compared_at, self._doubted_at = None, now
            for notice in told or ():
                self._wanted.add(notice.log, notice.offset, now)
        for line in self._wishes.take():
            session, _, branch = line.partition(" ")
            place = parse_key(self._work.settings.prefix, _base_of(self._work, session, branch))
            if place is not None:
                self._wanted.add(place[0], 0, now, is_urgent=True)

    def _want_failed(self, now: float) -> None:
        """Take up what a comparison could not read, and went on."""
        for place in self._feed.failed:
            self._wanted.add(place, 0, now)
        self._feed.failed.clear()

    def _see_to_wanted(self, now: float) -> None:
        began, failures = time.monotonic(), 0
        for place, offset in self._wanted.take(now):
            try:
                self._update(place, offset)
                failures = 0
            except StoreError:
                self._wanted.put_off(place, offset, now + _LATER_SECONDS)
                failures += 1
                if failures >= _MOST_FAILURES:  # then it is not these logs' trouble
                    raise
            if time.monotonic() - began > self._pace.commit:
                break

    def _update(self, place: Log, offset: int) -> None:
        self._feed.update(place, offset)
        if self._rebuild is not None and self._rebuild.is_level:
            self._rebuild.feed.update(place, offset)

    def _compare(self, now: float) -> None:
        if self._comparing is None:
            if now < self._compare_at:
                return
            self._comparing, self._compare_began = self._feed.reconcile(), now
            self._compare_at = now + self._pace.compare
        began = time.monotonic()
        for objects in self._comparing:
            self._came_back()
            self._progress.tell(time.monotonic(), objects, is_first=not self._is_level)
            if time.monotonic() - began > self._pace.commit:
                return
        self._comparing = None
        self._came_back()
        self._feed.draft.commit()
        self._compare_seconds = time.time() - self._compare_began
        self._want_failed(now)
        if not self._is_level:
            mark_level(self._feed.index.folder)
            self._progress.end(time.monotonic(), "search index built")
        if self._doubted_at <= self._compare_began:  # else what was lost may lie where the LIST had been already
            self._compared_at = self._compare_began
        if self._notices is None:
            self._compare_at = time.time() + self._pause_seconds

    def _see_to_rebuild(self, now: float) -> None:
        """Words of deleted sessions stay in the files: so there is a new index in time, which never had them."""
        if self._feed.draft.done.dropped and self._purge_since is None:
            self._purge_since = now
            self._feed.draft.done.dropped = 0
        if self._rebuild is None:
            is_due = self._purge_since is not None and now >= max(
                self._purge_since + self._pace.purge, self._rebuild_at
            )
            if is_due and self._is_level:
                self._feed.draft.done.dropped = 0
                self._rebuild = Rebuild(self._work, new_folder(self._home), now)
            return
        if self._rebuild.has_failed:
            self._rebuild.give_up()
            self._rebuild, self._rebuild_at = None, now + self._pause_seconds
        elif self._rebuild.is_level and not self._rebuild.go_on():
            self._switch(self._rebuild, now)

    def _switch(self, rebuild: Rebuild, now: float) -> None:
        old = self._feed
        rebuild.feed.draft.commit()
        mark_level(rebuild.feed.index.folder)
        if self._comparing is not None:  # it may have looked for what the other one's LIST had passed by
            self._compare_at = now
        self._feed, self._rebuild, self._comparing = rebuild.feed, None, None
        self._purge_since = rebuild.began_at if old.draft.done.dropped or rebuild.feed.draft.done.dropped else None
        rebuild.feed.draft.done.dropped = 0
        self._want_failed(now)
        self._progress = Progress(self._feed.draft.done, time.monotonic())
        self._beat(time.time())  # from here on readers ask the new one
        old.index.close()
        shutil.rmtree(old.index.folder, ignore_errors=True)
        _log.info("search index purged", messages=self._feed.index.count_messages())

    def _commit(self, now: float) -> None:
        pause = self._pace.commit if self._is_level else self._pace.build
        if not self._feed.draft.is_empty and (self._wanted.is_urgent or now - self._committed_at >= pause):
            self._feed.draft.commit()
            self._committed_at = time.time()
        self._wanted.note_commit()
        if now - self._beat_at >= self._pace.beat:
            self._beat(now)

    def _beat(self, now: float) -> None:
        index = self._feed.index
        state = State(
            folder=index.folder.name,
            beat_at=now,
            newest_write=self._feed.draft.newest_write,
            behind=len(self._wanted),
            behind_since=self._wanted.since,
            is_rebuilding=not self._is_level,
            compared_at=self._compared_at,
            messages=index.count_messages(),
            taken=self._feed.draft.done.messages,
            sealed=self._feed.draft.sealed,
            index_bytes=measure_folder(index.folder),
            purge_since=self._purge_since,
        )
        state.write(self._home)
        self._beat_at = now
        self._tell(state)

    def _tell_away(self, error: StoreError) -> None:
        seconds = self._outage.meet(time.monotonic())
        if seconds is not None:
            _log.warning("search index waits", reason=str(error), away_seconds=round(seconds))

    def _came_back(self) -> None:
        """The store answers: a comparison, which each failure has begun anew, gets on."""
        seconds = self._outage.end(time.monotonic())
        if seconds is not None:
            _log.info("search index goes on", away_seconds=round(seconds))


def _base_of(work: Service, session: str, branch: str) -> str:
    return Log(work.settings.prefix, session, branch or None).base
