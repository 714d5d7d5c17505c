"""The command behind `make bench`."""

import argparse
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from importlib import import_module
from typing import TypeAlias

from bench.against import PARTS
from bench.figures import Findings, write_findings
from bench.machine import describe_machine
from bench.options import Options
from bench.report import BUILDS, RESULTS, describe_findings, write_report
from bench.scene import Scene
from stack.interruption import end_by_signals
from stack.processes import NotReady

MEASURES = (
    "throughput",
    "against_naive",
    "waiting",
    "scaling",
    "latency",
    "broker",
    "store",
    "producer",
    "resolve",
    "recall",
    "recall_size",
    "backlog",
    "memory",
    "undo",
    "start",
    "redact",
    "seal",
    "watch",
    "growth",
    "claude_store",
    "flush",
    "cores",
)
Measure: TypeAlias = Callable[[Scene, Options], Findings]


def main() -> int:
    """0: measured, whether or not the goals are held. 1: something did not start or finish."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--full", action="store_true", help="all of it, below twenty minutes; else about six")
    parser.add_argument("--only", metavar="NAME,…", help=f"{', '.join(MEASURES)}; with --against {', '.join(PARTS)}")
    parser.add_argument("--against", metavar="COMMIT", help="this build beside that one, and nothing else")
    parser.add_argument("--seed", type=int, default=1, help="the same seed makes the same work")
    arguments = parser.parse_args()
    measures: dict[str, Measure] = {name: partial(_import_and_measure, name) for name in MEASURES}
    if arguments.against:
        measures = {name: partial(part, commit=arguments.against) for name, part in PARTS.items()}
    names = arguments.only.split(",") if arguments.only else [*measures]
    if unknown := set(names) - {*measures}:
        parser.error(f"no such measure: {', '.join(sorted(unknown))}")
    end_by_signals()
    options = Options(arguments.full, arguments.seed)
    scope = BUILDS if arguments.against else options.scope
    try:
        run({name: measures[name] for name in names}, options, scope)
    except NotReady as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    print(f"report and plots: {write_report(scope)}")
    return 0


def run(measures: Mapping[str, Measure], options: Options, scope: str) -> None:
    """One measure after the other, each written and shown as soon as it is done."""
    machine = describe_machine()
    for name, measure in measures.items():
        began = time.monotonic()
        print(f"{name} …", file=sys.stderr, flush=True)
        with Scene() as scene:
            findings = measure(scene, options)
        findings = replace(
            findings,
            run={
                "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%MZ"),
                "seconds": round(time.monotonic() - began),
                "seed": options.seed,
                "scope": scope,
                "machine": machine,
            },
        )
        write_findings(findings, RESULTS)
        print(describe_findings(findings), flush=True)


def _import_and_measure(name: str, scene: Scene, options: Options) -> Findings:
    findings: Findings = import_module(f"bench.measures.{name}").measure(scene, options)
    return findings


if __name__ == "__main__":
    sys.exit(main())
