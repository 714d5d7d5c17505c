"""The transcript goes out, one save after each message; in the middle of it the worker is killed."""

from collections.abc import Callable
from statistics import median
from time import monotonic, sleep

from history_sink import Receipt
from stack.demo.scene import Scene
from stack.processes import wait_until

STREAM_SECONDS = 6.0
"""How long it takes at least where somebody looks on."""

AT_DEATH_MESSAGES = 12
"""So many are saved while the store hangs, so that the worker is in the middle of something when it dies."""

ORPHANED_MESSAGES = 20
"""So many are saved after that, before there is another worker."""

EVENT_SECONDS = 0.5
"""Workers tell Flower four times a second what they have finished; what is not told yet dies with the worker."""

UNACKED = "unacked"
"""Celery's name for the hash in Redis that holds what workers have taken and not finished."""


def stream(scene: Scene) -> list[Receipt]:
    """Save all of the scene's lines. Returns the receipts."""
    total, saver = len(scene.lines), _Saver(scene)
    death = total // 3
    alone = min(death + AT_DEATH_MESSAGES, total)
    birth = min(alone + ORPHANED_MESSAGES, total)
    with scene.screen.progress("saved", total) as advance:
        saver.save_up_to(death, advance)
        scene.stack.minio.process.pause()
        try:
            saver.save_up_to(alone, advance)
            held = _kill_worker(scene)
        finally:
            scene.stack.minio.process.resume()
        saver.save_up_to(birth, advance)
        scene.start_next_worker()
        saver.save_up_to(total, advance)
    milliseconds = [1000 * seconds for seconds in saver.seconds]
    screen = scene.screen
    screen.text(f"kill -9 to worker-1 after message {alone}, with {held} messages in its hands")
    screen.text(f"{birth - alone} more were saved before worker-2 was there")
    screen.text(f"a save took {median(milliseconds):.1f} ms (median), the slowest {max(milliseconds):.0f} ms")
    return saver.receipts


class _Saver:
    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._messages: list[bytes] = []
        self._pause_seconds = STREAM_SECONDS / len(scene.lines) if scene.screen.is_terminal else 0.0
        self.seconds: list[float] = []
        self.receipts: list[Receipt] = []

    def save_up_to(self, end: int, advance: Callable[[int], None]) -> None:
        """Save the whole list again for each message that joins it, as an agent does, until it has `end`."""
        scene = self._scene
        for line in scene.lines[len(self._messages) : end]:
            self._messages.append(line)
            began = monotonic()
            receipt = scene.sink.save(scene.session, self._messages)
            self.seconds.append(monotonic() - began)
            scene.claim(receipt.state == "enqueued", f"message {len(self._messages)} is taken by the broker: {receipt}")
            self.receipts.append(receipt)
            advance(len(self._messages))
            sleep(self._pause_seconds)


def _kill_worker(scene: Scene) -> int:
    """Kill it once it has something in its hands; how many messages that were."""
    with scene.stack.redis.client(scene.environment["CODETETHER_HISTORY_BROKER_URL"]) as client:
        wait_until(lambda: client.hlen(UNACKED) > 0, timeout_seconds=10, what="the worker takes a message")
        sleep(EVENT_SECONDS)
        scene.worker.process.kill()
        return int(client.hlen(UNACKED))
