"""The pages of one history: what must stay, what may shrink, and what a context gets of it."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from history_sink import Fault, Malformed
from history_sink_agents.pages.archive import Archive, Unproven, locate, read_page
from history_sink_agents.pages.assembly import Assembler, Context, Measure
from history_sink_agents.pages.content import Content, canonical_arguments, measure_bytes, read_content
from history_sink_agents.pages.degradation import check_degradation
from history_sink_agents.pages.evicted import duplicate, find_duplicates, list_evicted
from history_sink_agents.pages.invariants import find_miss, find_missed
from history_sink_agents.pages.kinds import KINDS, Level, PageKind, is_below
from history_sink_agents.pages.page import Fetched, Page, PageFault
from history_sink_agents.pages.sidecar import Sidecar
from history_sink_agents.pages.slots import Slot, arrange, hold, link_calls


class Pages:
    """The pages of a history, one a message. Not for two threads at once.

    It changes no message, and talks to the archive where a page becomes a pointer or is fetched back, and nowhere else.
    """

    def __init__(
        self, messages: Iterable[Content] = (), sidecar: object = None, archive: Archive | None = None
    ) -> None:
        """Make the pages of a history, new or as a sidecar has them.

        Args:
            messages: The whole history, the oldest first: JSON objects, or lines as the archive has them. A message
                that `assemble` has put in place of one counts as that one.
            sidecar: What `encode` returned, or its JSON; the history may have grown, been cut or edited since.
            archive: Where the history is saved. None: no page can become a pointer.

        Raises:
            Malformed: A message or the sidecar is not what it must be.
        """
        before = Sidecar() if sidecar is None else Sidecar.decode(sidecar)
        self._archive = archive
        self._slots: list[Slot] = []
        self._retired = before.retired
        self.refetches = before.refetches
        """How many pages were fetched back, in the history's whole life."""
        self.refetched_bytes = before.refetched_bytes
        """The bytes of those pages."""
        self._put(messages, before.pages)

    @property
    def pages(self) -> tuple[Page, ...]:
        """The pages, one a message."""
        return tuple(slot.page for slot in self._slots)

    @property
    def messages(self) -> list[Content]:
        """The history as it was given last."""
        return [slot.entry.message for slot in self._slots]

    def encode(self) -> dict[str, Any]:
        """The sidecar, a plain dict for JSON. It holds summaries, and so is as secret as the history."""
        return Sidecar(self.pages, self._retired, self.refetches, self.refetched_bytes).encode()

    def update(self, messages: Iterable[Content]) -> list[PageFault]:
        """Take the whole history as it is now: grown, cut by an undo, edited, or gone back to by a redo.

        Pages are found again by their messages' content. A message that was edited in place keeps its pin and kind.

        Args:
            messages: As for the constructor.

        Returns:
            A fault ``duplicate_tool`` for each new call that has been made before, and whose result is at pointer.

        Raises:
            Malformed: A message is not what it must be. Nothing is changed.
        """
        return self._put(messages, self.pages)

    def append(self, *messages: Content) -> list[PageFault]:
        """Take messages that follow. Args, Returns and Raises: as `update`."""
        return self._put(messages, (), self._slots)

    def fork(self, count: int) -> "Pages":
        """The pages of another history, which begins with the first `count` messages of this one.

        Raises `Malformed` where there are not so many.
        """
        if type(count) is not int or not 0 <= count <= len(self._slots):
            raise Malformed(f"there are no {count!r:.20} messages: there are {len(self._slots)}")
        return Pages(self.messages[:count], self.encode(), self._archive)

    def pin(self, number: int) -> PageFault | None:
        """Pin a message: each context must have it, at ``structured`` or above.

        Args:
            number: The message, counted from 0.

        Returns:
            A fault ``pinned_invariant_miss`` where it is below that already: fetch it back.

        Raises:
            Malformed: There is no such message.
        """
        page = self._change(number, is_pinned=True)
        is_missed = is_below(page.level, page.minimum)
        return find_miss(number, page, f"it is at {page.level}: fetch it") if is_missed else None

    def unpin(self, number: int) -> None:
        """Undo `pin`: the page's own kind holds again. Raises `Malformed` where there is no such message."""
        self._change(number, is_pinned=False)

    def set_kind(self, number: int, kind: PageKind) -> None:
        """Say what a message is for.

        Raises:
            Malformed: There is no such message or kind, or the page is below what that kind allows: fetch it back.
        """
        if kind not in KINDS:
            raise Malformed(f"a kind is one of {', '.join(KINDS)}")
        page = replace(self._get(number).page, kind=kind)
        if is_below(page.level, page.minimum):
            raise Malformed(f"message {number} is at {page.level}, and a {page.rule} goes no lower than {page.minimum}")
        self._change(number, kind=kind)

    def degrade(self, number: int, level: Level, text: str | None = None) -> PageFault | None:
        """Let a message take less room in contexts from now on.

        Args:
            number: The message, counted from 0.
            level: ``compressed``, ``structured`` or ``pointer``.
            text: The summary, which ``compressed`` needs; for ``structured``, in place of the outline.

        Returns:
            None; or a fault ``flush_miss`` where it was to become a pointer, and the store is not known to hold it.

        Raises:
            Malformed: There is no such message; the level is below what the page's kind allows, none of its levels, or
                above the page's own; or the text is missing or too much.
        """
        slot = self._get(number)
        check_degradation(slot, level, text)
        if level != "pointer":
            self._change(number, level=level, text=text)
            return None
        try:
            handle, _ = locate(self._archive, number, slot.page.key)
        except Unproven as error:
            return PageFault(Fault("flush_miss"), number, str(error))
        self._change(number, level=level, text=None, handle=handle)
        return None

    def fetch(self, number: int) -> Fetched:
        """Get a message back from the archive. Its page is at ``full`` again.

        Args:
            number: The message, counted from 0.

        Returns:
            The line and a fault ``refetch`` with its bytes; or None and ``no_match``, ``denied`` or ``backend_error``.

        Raises:
            Malformed: There is no such message.
        """
        page = self._get(number).page
        answer = read_page(self._archive, number, page)
        if isinstance(answer, Fault):
            return Fetched(None, PageFault(answer, number, handle=page.handle))
        self.refetches += 1
        self.refetched_bytes += len(answer)
        entry = read_content(answer)
        self._change(number, level="full", text=None)
        slot = self._slots[number]
        if not slot.is_held:
            self._slots[number] = hold(slot, answer, entry)
            self._slots = link_calls(self._slots)
        fault = PageFault(Fault("refetch"), number, handle=page.handle, size_bytes=len(answer))
        return Fetched(answer, fault)

    def find_duplicate(self, name: str, arguments: object) -> PageFault | None:
        """Ask before a tool runs whether its result is only out of sight.

        Args:
            name: The tool's name.
            arguments: Its arguments, an object or its JSON. Equal ones are the same, however they are written.

        Returns:
            A fault ``duplicate_tool`` with the number of the evicted result, for `fetch`; None: run it.
        """
        at = list_evicted(self._slots).get((name, canonical_arguments(arguments)))
        return None if at is None else duplicate(self._slots, at, at)

    def assemble(self, budget: int, measure: Measure = measure_bytes) -> Context:
        """Choose the messages of a context. Bootstrap and pinned pages come first, then the others from the newest on.

        A message that is too large may be put in at a lower level of its page's path: as an outline, or as a pointer
        where it is one already. Nothing is put in below its page's minimum.

        Args:
            budget: How much the messages may take together.
            measure: What a message takes, in the budget's unit, such as tokens. As given: the bytes of its line.

        Returns:
            The messages, what was left out, and a fault for each invariant among that.

        Raises:
            Malformed: `budget` is no number from 0 on.
        """
        if type(budget) is not int or budget < 0:
            raise Malformed("budget is an integer from 0 on")
        context = Assembler(self._slots, budget, measure).run()
        for placed in context.placed:
            slot = self._slots[placed.number]
            if placed.level != "full" and slot.is_held:
                shown = {**slot.page.shown, read_content(placed.message).key: placed.level}
                self._change(placed.number, shown=shown)
        return context

    def check_context(self, messages: Iterable[Content]) -> list[PageFault]:
        """Look for the invariants in a context that somebody else has made, such as a compaction.

        Args:
            messages: The context.

        Returns:
            A fault for each bootstrap page, constraint and pinned page that no message of the context stands for.

        Raises:
            Malformed: A message is not what it must be.
        """
        return [*find_missed(self._slots, [read_content(message).key for message in messages])]

    def _put(self, messages: Iterable[Content], pages: Sequence[Page], before: Sequence[Slot] = ()) -> list[PageFault]:
        """Put these messages behind the slots `before`. Their pages are among `pages` and the retired, or new."""
        entries = [*map(read_content, messages)]
        self._slots, fresh, self._retired = arrange(entries, pages, self._retired, before)
        return [*find_duplicates(self._slots, fresh)]

    def _get(self, number: int) -> Slot:
        if type(number) is not int or not 0 <= number < len(self._slots):
            raise Malformed(f"there is no message {number!r:.20}: there are {len(self._slots)}")
        return self._slots[number]

    def _change(self, number: int, **changes: Any) -> Page:
        slot = self._get(number)
        page = replace(slot.page, **changes)
        self._slots[number] = replace(slot, page=page)
        return page
