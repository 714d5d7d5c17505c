"""For an operator: what so many agents need, by arithmetic on what was measured."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from bench.figures import Findings, Table

MONTH_SECONDS = 365.25 / 12 * 86_400


@dataclass(frozen=True)
class Prices:
    """In dollars: what a priced store takes. Inputs, to be replaced by those of your own contract."""

    write_requests_1000: float = 0.005
    read_requests_1000: float = 0.0004
    stored_gigabyte_month: float = 0.023


@dataclass(frozen=True)
class Costs:
    """What one save costs, as measured: requests with folds and sweep; rates in saves a second."""

    transcript_bytes: float
    write_requests: float
    read_requests: float
    redis_bytes: float
    worker_rate: float


@dataclass(frozen=True)
class Need:
    """For one load."""

    saves_per_second: float
    workers: int
    redis_megabytes_per_minute: float
    requests_per_month: float
    dollars_requests: float
    dollars_storage: float


def read_costs(findings: Iterable[Findings]) -> Costs | None:
    """None where something has not been measured."""
    figures: dict[str, float] = {}
    for each in findings:
        figures |= each.figures
    try:
        return Costs(
            transcript_bytes=figures["transcript bytes per save"],
            write_requests=figures["write requests per save"],
            read_requests=figures["read requests per save"],
            redis_bytes=figures["Redis bytes per waiting save"],
            worker_rate=figures["saves per second"],
        )
    except KeyError:
        return None


def size(agents: int, seconds: float, costs: Costs, prices: Prices, load: float = 0.5) -> Need:
    """For agents that each save every so many seconds, around the clock; workers at that share of what they can do."""
    rate = agents / seconds
    saves = rate * MONTH_SECONDS
    writes, reads = saves * costs.write_requests, saves * costs.read_requests
    return Need(
        saves_per_second=rate,
        workers=math.ceil(rate / (load * costs.worker_rate)),
        redis_megabytes_per_minute=60 * rate * costs.redis_bytes / 1e6,
        requests_per_month=writes + reads,
        dollars_requests=(writes * prices.write_requests_1000 + reads * prices.read_requests_1000) / 1000,
        dollars_storage=saves * costs.transcript_bytes / 1e9 * prices.stored_gigabyte_month,
    )


def describe_sizes(costs: Costs, prices: Prices, seconds: float = 10.0) -> list[Table]:
    """What goes in, and what comes out for some numbers of agents."""
    inputs = (
        ("bytes of transcript per save", costs.transcript_bytes),
        ("write requests (PUT, POST, LIST) per save, folds and sweep included", costs.write_requests),
        ("read requests (GET, HEAD) per save, folds and sweep included", costs.read_requests),
        ("bytes in Redis per waiting save", costs.redis_bytes),
        ("saves per second of one worker of 8 threads, here", costs.worker_rate),
        ("dollars per 1,000 write requests (an input)", prices.write_requests_1000),
        ("dollars per 1,000 read requests (an input)", prices.read_requests_1000),
        ("dollars per GB and month (an input)", prices.stored_gigabyte_month),
    )
    rows = []
    for agents in (100, 1_000, 100_000):
        need = size(agents, seconds, costs, prices)
        rows.append(
            (
                *(agents, need.saves_per_second, need.workers, need.redis_megabytes_per_minute),
                *(need.requests_per_month / 1e6, need.dollars_requests, need.dollars_storage),
            )
        )
    columns = (
        *("agents", "saves per second", "workers at half load", "Redis, MB per minute of outage"),
        *("million requests a month", "dollars a month for requests", "dollars more each month for what is stored"),
    )
    return [
        Table("What one save costs", ("input", "figure"), inputs),
        Table(f"Agents that save one message every {seconds:g} s, around the clock", columns, tuple(rows)),
    ]
