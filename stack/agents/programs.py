"""The agents' programs from npm, at the versions that the tests ran with. ``python -m stack.agents.programs``."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from stack.go_programs import cache_directory
from stack.processes import NotReady

_INSTALL_TIMEOUT_SECONDS = 600


@dataclass(frozen=True, slots=True)
class NpmProgram:
    """A package at a version, and the command that it brings."""

    command: str
    package: str
    version: str

    def ensure(self) -> Path:
        """Its path. Installs it the first time. Raises `NotReady`."""
        folder = cache_directory() / f"npm-{self.command}-{self.version}"
        path = folder / "node_modules" / ".bin" / self.command
        if not path.exists():
            if not shutil.which("npm"):
                raise NotReady("the agents come from npm, which is not there: install Node.js 20 or newer")
            print(f"Installing {self.package}@{self.version}, once", file=sys.stderr, flush=True)
            command = ["npm", "install", "--no-audit", "--no-fund", "--prefix", str(folder)]
            done = subprocess.run(
                [*command, f"{self.package}@{self.version}"],
                capture_output=True,
                text=True,
                check=False,
                timeout=_INSTALL_TIMEOUT_SECONDS,
                env={**os.environ, "NO_UPDATE_NOTIFIER": "1"},
            )
            if done.returncode or not path.exists():
                raise NotReady(f"npm could not install {self.package}: {done.stderr[-2000:]}")
        return path


CLAUDE = NpmProgram("claude", "@anthropic-ai/claude-code", "2.1.332")
CODEX = NpmProgram("codex", "@openai/codex", "0.171.0")
COPILOT = NpmProgram("copilot", "@github/copilot", "1.0.102")
GEMINI = NpmProgram("gemini", "@google/gemini-cli", "0.61.0")
OPENCODE = NpmProgram("opencode", "opencode-ai", "1.18.33")
PI = NpmProgram("pi", "@mariozechner/pi-coding-agent", "0.73.1")
QWEN = NpmProgram("qwen", "@qwen-code/qwen-code", "0.15.10")
ALL = (CLAUDE, CODEX, COPILOT, GEMINI, OPENCODE, PI, QWEN)


if __name__ == "__main__":
    for program in ALL:
        print(program.ensure())
