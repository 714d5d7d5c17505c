"""The command behind `make bench`."""

import argparse
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from importlib import import_module
from typing import TypeAlias

from bench.against import PARTS
from bench.figures import Findings, forget_findings, write_findings
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
    "backlog",
    "memory",
    "undo",
    "start",
    "flush",
    "cores",
)
APART = ("recall", "recall_size", "redact", "seal", "watch", "growth", "claude_store")
"""Measures for pages of their own, which run where they are named; some take most of an hour."""

Measure: TypeAlias = Callable[[Scene, Options], Findings]


def main() -> int:
    """0: measured, whether or not the goals are held. 1: something did not start or finish; the rest is measured."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--full", action="store_true", help="all of it, below twenty minutes; else about six")
    names = f"{', '.join(MEASURES)}; apart from them {', '.join(APART)}; with --against {', '.join(PARTS)}"
    parser.add_argument("--only", metavar="NAME,…", help=names)
    parser.add_argument("--against", metavar="COMMIT", help="this build beside that one, and nothing else")
    parser.add_argument("--seed", type=int, default=1, help="the same seed makes the same work")
    arguments = parser.parse_args()
    measures: dict[str, Measure] = {name: partial(_import_and_measure, name) for name in (*MEASURES, *APART)}
    if arguments.against:
        measures = {name: partial(part, commit=arguments.against) for name, part in PARTS.items()}
    chosen = arguments.only.split(",") if arguments.only else [name for name in measures if name not in APART]
    if unknown := set(chosen) - {*measures}:
        parser.error(f"no such measure: {', '.join(sorted(unknown))}")
    end_by_signals()
    options = Options(arguments.full, arguments.seed)
    scope = BUILDS if arguments.against else options.scope
    if not arguments.only:
        forget_findings(RESULTS, scope)
    failed = run({name: measures[name] for name in chosen}, options, scope)
    if len(failed) < len(chosen):
        print(f"report and plots: {write_report(scope)}")
    if failed:
        print(f"bench: not measured: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def run(measures: Mapping[str, Measure], options: Options, scope: str) -> list[str]:
    """One measure after the other, each written and shown as soon as it is done. Returns those that fail."""
    machine, failed = describe_machine(), []
    for name, measure in measures.items():
        began = time.monotonic()
        print(f"{name} …", file=sys.stderr, flush=True)
        try:
            with Scene() as scene:
                findings = measure(scene, options)
        except NotReady as error:
            print(f"bench: {name}: {error}", file=sys.stderr)
            failed.append(name)
            continue
        except Exception:  # noqa: BLE001  # the others are measured, and a long run is not in vain
            traceback.print_exc()
            failed.append(name)
            continue
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
    return failed


def _import_and_measure(name: str, scene: Scene, options: Options) -> Findings:
    findings: Findings = import_module(f"bench.measures.{name}").measure(scene, options)
    return findings


if __name__ == "__main__":
    sys.exit(main())
