"""Become another program that dies with its parent: `launch.py PARENT_PID PROGRAM ARGUMENT…`.

A parent killed with -9 cleans up nothing; what it left behind would hold ports and CPU for ever. So
the kernel is asked to kill the child when its parent ends (Linux only: prctl(2), PR_SET_PDEATHSIG;
the setting survives execve). A program of its own rather than `preexec_fn`: that one runs Python
between fork and exec, which can deadlock in a process with threads.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Die with the parent, and become the program."""
    parent_pid, program = int(sys.argv[1]), sys.argv[2:]
    die_with_parent(parent_pid)
    os.execvp(program[0], program)


def die_with_parent(parent_pid: int) -> None:
    """Ask the kernel, and make sure that it was not too late; else end this process."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent_pid:  # it died before we asked: no signal would ever come
            sys.exit(1)


if __name__ == "__main__":
    main()
