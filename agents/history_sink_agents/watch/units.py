"""What has the system start the watch with each login: a unit for systemd, a property list for launchd."""

import plistlib
import shlex
import sys
from pathlib import Path
from typing import Literal, TypeAlias

System: TypeAlias = Literal["systemd", "launchd"]

LABEL = "history-sink.watch"
ENVIRONMENT = ".config/history-sink/environment"
"""Below the user's home: the variables, one NAME=value a line, for the user's eyes alone."""

_SYSTEMD = """\
# ~/.config/systemd/user/history-sink-watch.service; then: systemctl --user enable --now history-sink-watch
[Unit]
Description=Archive coding agents' sessions as they grow

[Service]
ExecStart={command}
# CODETETHER_HISTORY_BROKER_URL=... and the like, in a file of mode 0600
# without that file the watch starts, and says what it lacks
EnvironmentFile=-%h/{environment}
Restart=always
RestartSec=10
# a variable that is missing or malformed, or no such command: starting again does not mend that
RestartPreventExitStatus=2 203
Nice=10
NoNewPrivileges=yes
UMask=0077

[Install]
WantedBy=default.target
"""

# KeepAlive's SuccessfulExit tells 0 from the rest, and no more (launchd.plist(5)): so 0 says "not again".
_LAUNCHD = """\
trap 'kill "$child"; wait "$child"' TERM
(
    set -a
    if [ -e {variables} ]; then sh -n {variables} || exit 2; . {variables}; fi
    exec {command} watch
) & child=$!
wait "$child"; status=$?
case $status in
0) exit 1 ;;
2|126|127)
    echo "history-sink: the watch is not started again before the next login. Mend {environment}, and then:" \
        "launchctl kickstart gui/$(id -u)/{label}" >&2
    exit 0 ;;
esac
exit $status
"""


def write_unit(system: System, command: Path, user_home: Path) -> str:
    """The text of the unit.

    Args:
        system: Whose unit.
        command: The command `history-sink`, absolute.
        user_home: The user's home, where launchd is to find the variables.
    """
    if system == "systemd":
        return _SYSTEMD.format(command=f"{_quote(command)} watch", environment=ENVIRONMENT)
    start = _LAUNCHD.format(
        variables=shlex.quote(str(user_home / ENVIRONMENT)),
        command=shlex.quote(str(command)),
        environment=f"~/{ENVIRONMENT}",
        label=LABEL,
    )
    log = str(user_home / "Library/Logs/history-sink-watch.log")
    return plistlib.dumps(
        {
            "Label": LABEL,
            "ProgramArguments": ["/bin/sh", "-c", start],
            "RunAtLoad": True,
            "KeepAlive": {"SuccessfulExit": False},
            "ThrottleInterval": 10,
            "ProcessType": "Background",
            "Umask": 0o077,
            "StandardErrorPath": log,
        },
        sort_keys=False,
    ).decode()


def _quote(command: Path) -> str:
    text = str(command).replace("%", "%%").replace("\\", "\\\\").replace('"', '\\"').replace("$", "$$")
    return f'"{text}"'


def find_command() -> Path:
    """The command that runs now, as the system can start it."""
    return Path(sys.argv[0]).absolute()
