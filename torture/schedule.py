"""What the adversary does and when: drawn from the seed, before anything starts."""

from dataclasses import dataclass
from random import Random

_QUICK_SECONDS = 60.0
TRANSPORTS = ("ours", "stock", "rabbitmq")
"""The worker's on Redis, kombu's on Redis, and RabbitMQ (with Redis for hints and results)."""

_POISONS = ("unknown-task", "undecodable", "impossible", "bomb", "no-object", "expired", "raw", "killer")
_STOCK_POISONS = _POISONS[:-2]  # of the others stock workers die, again and again: no news
_QUICK_POISONS = _POISONS[:-1]  # ten deaths take their time; and RabbitMQ's classic queues count none


@dataclass(frozen=True)
class Event:
    """`target` is the number of a worker or producer, or a poison's id; the fault lasts for `seconds`."""

    at_seconds: float
    act: str
    target: int | str | None = None
    seconds: float = 0.0


@dataclass(frozen=True)
class Lane:
    """One kind of fault: how often (once in so many seconds, at least once) and how long."""

    act: str
    every_seconds: float
    seconds: tuple[float, float] = (0.0, 0.0)
    targets: str | None = None


LANES = (
    Lane("kill worker", 3.5, (0.1, 1.0), "workers"),
    Lane("kill child", 15, targets="workers"),
    # A stopped worker's requests linger: never longer than T/8, or the archive's own premises do not hold.
    Lane("stop worker", 15, (0.5, 8.0), "workers"),
    Lane("kill producer", 10, (0.1, 1.0), "producers"),
    Lane("stop producer", 40, (0.5, 3.0), "producers"),
    Lane("kill Redis", 22, (0.1, 2.0)),
    Lane("stop Redis", 45, (0.5, 5.0)),
    Lane("fill Redis", 45, (0.5, 4.0)),
    Lane("kill store", 45, (0.2, 4.0)),
    Lane("stop store", 60, (0.5, 6.0)),
    Lane("fill store", 45, (0.5, 5.0)),
    Lane("hold store", 60, (0.5, 5.0)),
    Lane("slow store", 15, (1.0, 6.0)),
    Lane("lose a store's answer", 8),
    Lane("drop the store's connections", 15),
    Lane("lose Redis's answer to a worker", 6),
    Lane("drop the workers' connections to Redis", 12),
    Lane("slow Redis", 30, (1.0, 4.0)),
    Lane("lose Redis's answer to a producer", 8),
    Lane("drop the producers' connections to Redis", 20),
    Lane("forget hints", 8),
    Lane("compact", 4),
    Lane("kill search worker", 5, (0.1, 1.0)),
)

RABBIT_LANES = (
    Lane("kill RabbitMQ", 30, (0.1, 2.0)),
    Lane("stop RabbitMQ", 45, (0.5, 5.0)),
    Lane("lose RabbitMQ's answer to a worker", 8),
    Lane("drop the workers' connections to RabbitMQ", 12),
    Lane("lose RabbitMQ's answer to a producer", 8),
    Lane("drop the producers' connections to RabbitMQ", 20),
)


def draw_schedule(seed: int, seconds: float, workers: int, producers: int, transport: str = "ours") -> list[Event]:
    """In order of time. The same for the same arguments."""
    draw = Random(f"schedule {seed}")
    crowds = {"workers": workers, "producers": producers}
    events = []
    for lane in LANES + (RABBIT_LANES if transport == "rabbitmq" else ()):
        for _ in range(max(1, round(seconds / lane.every_seconds))):
            target = draw.randrange(crowds[lane.targets]) if lane.targets else None
            at_seconds = draw.uniform(0.02, 0.95) * seconds
            # In a short run, too, there must be time between the faults.
            length = draw.uniform(*lane.seconds) * min(1.0, seconds / 100)
            events.append(Event(at_seconds, lane.act, target, length))
    is_quick = seconds < _QUICK_SECONDS or transport == "rabbitmq"
    poisons = _STOCK_POISONS if transport == "stock" else _QUICK_POISONS if is_quick else _POISONS
    for number in range(max(len(poisons), round(seconds / 10))):
        poison = poisons[number % len(poisons)]
        latest = 0.3 if poison == "killer" else 0.95
        events.append(Event(draw.uniform(0.02, latest) * seconds, "poison", f"poison:{poison}:{number}"))
    return sorted(events, key=lambda event: event.at_seconds)
