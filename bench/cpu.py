"""Processor time of processes, as Linux accounts it (proc_pid_stat(5): utime and stime)."""

import os
from collections.abc import Mapping
from pathlib import Path

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """What the process has used so far, its ended children left out."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_SECOND


class Meter:
    """Processor time since it was made, by the names of the processes."""

    def __init__(self, pids: Mapping[str, int]) -> None:
        self._pids = pids
        self._before = {name: cpu_seconds(pid) for name, pid in pids.items()}

    def used_seconds(self) -> dict[str, float]:
        """Of each process."""
        return {name: cpu_seconds(pid) - self._before[name] for name, pid in self._pids.items()}
