"""`make install`: everything into .venv, told in a few lines; where pip fails, all that it said."""

import subprocess
import sys
import time
from collections.abc import Sequence

_PYTHON = ".venv/bin/python"
_PIP = (_PYTHON, "-m", "pip", "--disable-pip-version-check", "install")
EXTRAS = "worker,flower,search,web,watch,claude,pydantic-ai,openai-agents,mcp,redact,seal,scan"
_STEPS = (
    ("an environment", (sys.executable, "-m", "venv", ".venv")),
    ("pip", (*_PIP, "pip>=25.1")),  # older ones know no --group
    (
        "the library, its worker, and what the tests need",
        (*_PIP, "--constraint", "constraints.txt", "--group", "dev", "--editable", f".[{EXTRAS}]"),
    ),
)
_PACKAGE = "Collecting "
_WARNINGS = ("WARNING:", "DEPRECATION:")


def main() -> int:
    """Install; the status of the program that failed, else 0."""
    print("Installing into .venv: a minute or two, once", flush=True)
    return next((status for what, command in _STEPS if (status := run(what, command))), 0)


def run(what: str, command: Sequence[str]) -> int:
    """Run `command` as the step `what`: a line with its time, and its warnings; where it fails, its whole output."""
    begun, said, packages = time.monotonic(), list[str](), 0
    print(f"  {what}", end="", flush=True)
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            said.append(line)
            packages += line.startswith(_PACKAGE)
            if sys.stdout.isatty() and packages > 1:
                print(f"\r  {what}: {packages} packages", end="", flush=True)
    count = f": {packages} packages" if packages > 1 else ""
    print(f"\r  {what}{count}" if sys.stdout.isatty() else count, end="")
    if process.returncode:
        print(f", failed with status {process.returncode}:", flush=True)
        sys.stderr.writelines(said)
    else:
        print(f", {time.monotonic() - begun:.0f} s", flush=True)
        sys.stderr.writelines(line for line in said if line.startswith(_WARNINGS))
    return process.returncode


if __name__ == "__main__":
    sys.exit(main())
