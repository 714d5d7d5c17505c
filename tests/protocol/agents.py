"""Agents: each with its history, a real `Session`, and a broker that does to its tasks what the moves say."""

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from history_sink.client.flush import flush
from history_sink.client.session import Session
from history_sink.errors import Unavailable
from history_sink.protocol.chain import walk
from history_sink.protocol.contract import UPLOAD
from history_sink.protocol.lines import encode_line
from history_sink.protocol.upload import Upload
from history_sink.transport.results import Answer

from .oracle import Violation
from .promises import SESSION
from .queue import NEVER, Message
from .telling import describe_message

if TYPE_CHECKING:
    from .world import World

TROUBLES = ["", "", "", "away", "its answer is lost", "late", "killed before it", "killed behind it"]
LETTERS = ["a", "b", "cc"]
BAD = None
"""No message: it is refused."""

MOST_MESSAGES = 24
"""Below the 32 last messages in which an edit is seen at once."""


class KilledError(BaseException):
    """The agent's process is gone, in the middle of a call."""


class Broker:
    """As much of a broker as a session needs. `trouble` comes to the task sent `trouble_at` sends from now."""

    clock_ahead_seconds = None

    def __init__(self, world: "World", owner: str, has_answers: bool) -> None:
        self.has_answers = has_answers
        self.trouble, self.trouble_at = "", 0
        self.told: list[Message] = []  # what it has said to have accepted, and nobody has asked about yet
        self._world, self._owner = world, owner

    def check(self) -> None:
        pass

    def send(
        self, task: str, args: Sequence[Any], kwargs: dict[str, Any], described: str, expires_seconds: float = NEVER
    ) -> str:
        world = self._world
        world.pass_time()
        trouble = self.trouble if self.trouble_at == 0 else ""
        self.trouble_at -= 1
        message = world.queue.make(task, args, kwargs, world.store.now + expires_seconds)
        world.tell(f"{self._owner} publishes {describe_message(message)}", trouble or "accepted")
        if trouble == "killed before it":
            raise KilledError
        if trouble == "late":
            world.queue.late.append(message)
        elif trouble != "away":
            world.publish(message)
        if trouble == "killed behind it":
            raise KilledError
        if trouble:
            raise Unavailable(trouble)
        self.told.append(message)
        return message.name

    def take(self, task_id: str, timeout_seconds: float) -> Any:
        world, until = self._world, self._world.store.now + timeout_seconds
        while task_id not in world.queue.answers:
            if world.store.now > until or not world.pass_time():
                world.store.now = max(world.store.now, until)
                world.tell(f"{self._owner} waits for {task_id}", "no answer")
                raise Unavailable("no worker answered")
        answer = world.queue.answers.pop(task_id)
        if answer.failure is not None:
            raise Unavailable(answer.failure)
        return answer.value

    def watch(self, task_ids: Sequence[str], timeout_seconds: float) -> dict[str, Answer]:
        world, until = self._world, self._world.store.now + timeout_seconds
        while not all(task_id in world.queue.answers for task_id in task_ids):
            if world.store.now > until or not world.pass_time():
                world.store.now = max(world.store.now, until)
                break
        return self.look(task_ids)

    def look(self, task_ids: Sequence[str]) -> dict[str, Answer]:
        answers = self._world.queue.answers
        return {task_id: answers[task_id] for task_id in task_ids if task_id in answers}


class Agent:
    """One process after the other, which all keep one history."""

    def __init__(self, world: "World", name: str) -> None:
        self.name, self._world = name, world
        self.history: list[Any] = []
        self.past: list[list[Any]] = [[]]
        self.is_busy = False
        self.start(has_answers=True)

    def start(self, has_answers: bool) -> None:
        """A new process, which knows the history and nothing else."""
        self.broker = Broker(self._world, self.name, has_answers)
        self.session = Session(SESSION, self.broker)  # type: ignore[arg-type]  # as much of a broker as it needs
        self.history = copy.deepcopy(self.history)
        self.given: list[Any] = []
        self.handed_over: dict[str | None, set[bytes]] = {}  # chains, by branch: what the broker has said to have

    def say(self, number: int) -> None:
        if len(self.history) < MOST_MESSAGES:
            self.history.append({"t": LETTERS[number % len(LETTERS)]})

    @property
    def given_lines(self) -> tuple[bytes, ...]:
        """What the sink was given last, as it is now, up to what cannot be a line."""
        return lines_of(self.given)

    @property
    def is_sound(self) -> bool:
        return len(self.given_lines) == len(self.given)

    def save(self) -> None:
        """Save the history, and check the receipt."""
        tell, books = self._world.tell, self._world.books
        tell(f"{self.name} saves {' '.join(map(_show, self.history)) or 'nothing'}")
        self.past.append(copy.deepcopy(self.history))
        self.given = [*self.history]
        books.given.add(self.given_lines)
        receipt = self.session.save([*self.history], "replace")
        told = self._take_told()
        ids = [message.name for message in told]
        tell(f"{self.name} has the receipt", " ".join([receipt.state, f"{receipt.messages} messages", *ids]))
        handed_over = self.handed_over.get(receipt.branch, set())
        books.check_receipt(receipt, uploads_of(told), ids, self.given_lines, handed_over)
        if receipt.state != "unreachable" and receipt.index != (None if self.is_sound else len(self.given_lines)):
            raise Violation(f"a receipt that is not true: {receipt}, but sound is {self.given_lines!r}")

    def flush(self, timeout_seconds: float) -> bool:
        """Flush, and check what it says."""
        tell, books = self._world.tell, self._world.books
        tell(f"{self.name} flushes")
        books.given.add(self.given_lines)  # as it is now: it may have been edited in place
        is_held = flush(self.session, timeout_seconds)
        self._take_told()
        tell(f"{self.name} has flushed", str(is_held))
        if is_held and not self.is_sound:
            raise Violation("flush said True of a history with a message that is refused")
        if is_held:
            books.check_flushed(self.session.branch, self.given_lines)
        return bool(is_held)

    def _take_told(self) -> list[Message]:
        told, self.broker.told = [message for message in self.broker.told if message.task == UPLOAD], []
        for upload in uploads_of(told):
            chains = {point.chain for point in walk(upload.start, upload.lines)}
            self.handed_over.setdefault(upload.branch, set()).update(chains)
        return told

    @contextmanager
    def in_trouble(self, trouble: int) -> Iterator[None]:
        """What is called in the block meets this trouble, and may not come to its end."""
        self.is_busy = True
        self.broker.trouble, self.broker.trouble_at = TROUBLES[trouble % len(TROUBLES)], trouble // len(TROUBLES) % 3
        try:
            yield
        except KilledError:
            self.start(has_answers=True)
            self._world.tell(f"{self.name} is killed, and started anew")
        finally:
            self.is_busy = False
            self.broker.trouble = ""


def lines_of(history: list[Any]) -> tuple[bytes, ...]:
    """Up to the first that is no message."""
    return tuple(encode_line(message).data for message in takewhile(lambda message: message is not BAD, history))


def _show(message: Any) -> str:
    return "BAD" if message is BAD else str(message["t"])


def uploads_of(messages: list[Message]) -> list[Upload]:
    return [Upload.decode(message.kwargs) for message in messages]
