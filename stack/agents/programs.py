"""The agents' programs, at the versions that the tests ran with. ``python -m stack.agents.programs``: from npm."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from stack.go_programs import cache_directory
from stack.processes import NotReady

_INSTALL_TIMEOUT_SECONDS, _BUILD_TIMEOUT_SECONDS = 600, 2 * 60 * 60
_QUICK_BUILD = {
    "DEBUG": "0",
    "OPT_LEVEL": "0",
    "DEBUG_ASSERTIONS": "false",
    "OVERFLOW_CHECKS": "false",
    "INCREMENTAL": "false",
}


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


@dataclass(frozen=True, slots=True)
class CargoProgram:
    """A crate at a version, and the command that it brings."""

    command: str
    crate: str
    version: str

    @property
    def path(self) -> Path:
        """Where it is, once it was built."""
        return self._folder / "bin" / self.command

    @property
    def _folder(self) -> Path:
        return cache_directory() / f"cargo-{self.command}-{self.version}"

    def ensure(self) -> Path:
        """Its path. Builds it the first time, without optimisation: that takes long. Raises `NotReady`."""
        if not self.path.exists():
            if not shutil.which("cargo"):
                raise NotReady(f"{self.crate} is built by cargo, which is not there: install Rust")
            print(f"Building {self.crate} {self.version}, once", file=sys.stderr, flush=True)
            target = self._folder / "target"
            profile = {f"CARGO_PROFILE_DEV_{name}": value for name, value in _QUICK_BUILD.items()}
            command = ["cargo", "install", "--quiet", "--locked", "--profile", "dev", "--root", str(self._folder)]
            done = subprocess.run(
                [*command, self.crate, "--version", self.version],
                capture_output=True,
                text=True,
                check=False,
                timeout=_BUILD_TIMEOUT_SECONDS,
                env={**os.environ, **profile, "CARGO_TARGET_DIR": str(target)},
            )
            if done.returncode:  # what was compiled stays, for another try
                raise NotReady(f"cargo could not build {self.crate}: {done.stderr[-2000:]}")
            shutil.rmtree(target)
        return self.path


CLAUDE = NpmProgram("claude", "@anthropic-ai/claude-code", "2.1.332")
CODEX = NpmProgram("codex", "@openai/codex", "0.171.0")
COPILOT = NpmProgram("copilot", "@github/copilot", "1.0.102")
GEMINI = NpmProgram("gemini", "@google/gemini-cli", "0.61.0")
OPENCODE = NpmProgram("opencode", "opencode-ai", "1.18.33")
PI = NpmProgram("pi", "@mariozechner/pi-coding-agent", "0.73.1")
CODETETHER = CargoProgram("codetether", "codetether-agent", "4.7.4")
QWEN = NpmProgram("qwen", "@qwen-code/qwen-code", "0.15.10")
FROM_NPM = (CLAUDE, CODEX, COPILOT, GEMINI, OPENCODE, PI, QWEN)


if __name__ == "__main__":
    for program in (CODETETHER,) if sys.argv[1:] == ["codetether"] else FROM_NPM:
        print(program.ensure())
