"""How much memory a process has had, as Linux counts it."""

from pathlib import Path


def peak_megabytes(pid: int) -> float:
    """The most that was resident since its start (VmHWM, proc(5)), in units of 10^6 bytes."""
    return read_status(pid, "VmHWM")


def now_megabytes(pid: int) -> float:
    """What is resident now."""
    return read_status(pid, "VmRSS")


def read_status(pid: int, name: str) -> float:
    """A field of /proc/PID/status, which is in units of 1,024 bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise LookupError(name)


def forget_peak(pid: int) -> None:
    """Let a process's peak begin anew, at what it has now (proc_pid_clear_refs(5))."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")
