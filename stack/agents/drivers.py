"""How each agent is told to use the scripted model, and how a prompt is put to it without a terminal."""

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stack.agents import programs
from stack.agents.network import AgentNetwork
from stack.agents.programs import CargoProgram, NpmProgram

_URL = AgentNetwork.url
_KEY = "made-up-key"

_CODEX_CONFIG = f"""
model = "gpt-5.1-codex"
model_provider = "scripted"
approval_policy = "never"
sandbox_mode = "danger-full-access"
check_for_update_on_startup = false
[model_providers.scripted]
name = "scripted"
base_url = "{_URL}/v1"
env_key = "SCRIPTED_KEY"
wire_api = "responses"
[analytics]
enabled = false
[otel]
exporter = "none"
"""
_GEMINI_CONFIG = {
    "security": {"auth": {"selectedType": "gemini-api-key"}},
    "privacy": {"usageStatisticsEnabled": False},
    "telemetry": {"enabled": False},
    "general": {"enableAutoUpdate": False, "sessionRetention": {"enabled": False}},
    "model": {"name": "gemini-2.5-flash"},
}
_OPENCODE_CONFIG = {
    "autoupdate": False,
    "share": "disabled",
    "model": "scripted/scripted-1",
    "small_model": "scripted/scripted-1",
    "permission": {"bash": "allow", "edit": "allow", "external_directory": "allow"},
    "provider": {
        "scripted": {
            "npm": "@ai-sdk/openai-compatible",
            "name": "scripted",
            "options": {"baseURL": f"{_URL}/v1", "apiKey": _KEY},
            "models": {"scripted-1": {"name": "scripted-1", "limit": {"context": 200_000, "output": 8_000}}},
        }
    },
}
_PI_MODELS = {
    "providers": {
        "scripted": {
            "baseUrl": f"{_URL}/v1",
            "api": "openai-completions",
            "apiKey": "SCRIPTED_KEY",
            "models": [{"id": "scripted-1"}],
        }
    }
}
_QWEN_CONFIG = {
    "security": {"auth": {"selectedType": "openai"}},
    "privacy": {"usageStatisticsEnabled": False},
    "telemetry": {"enabled": False},
    "general": {"enableAutoUpdate": False},
    "model": {"name": "scripted-1"},
}


@dataclass(frozen=True, slots=True)
class Driver:
    """One agent: its program, its variables, the files that configure it, and the words before a prompt."""

    program: NpmProgram | CargoProgram
    environment: dict[str, str]
    files: dict[str, Any] = field(default_factory=dict)
    words: tuple[str, ...] = ()

    def configure(self, home: Path) -> None:
        """Write its settings into a home, where they are not there."""
        for name, content in self.files.items():
            path = home / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.exists():
                path.write_text(content if isinstance(content, str) else json.dumps(content))

    def start(
        self, network: AgentNetwork, home: Path, project: Path, *words: str, has_input: bool = False
    ) -> "subprocess.Popen[str]":
        """Start it with these words, and return at once."""
        self.configure(home)
        command: list[str | Path] = [self.program.ensure(), *words]
        return network.run(command, home, project, self.environment, has_input=has_input)

    def run(self, network: AgentNetwork, home: Path, project: Path, *words: str, timeout_seconds: float = 120) -> str:
        """What it prints, both outputs, until it ends. Raises `AssertionError` where it fails."""
        child = self.start(network, home, project, *words)
        try:
            told, _ = child.communicate(timeout=timeout_seconds)
        except subprocess.TimeoutExpired:
            child.kill()
            told, _ = child.communicate()
            raise AssertionError(f"{self.program.command} did not end in time: {told[-2000:]}") from None
        assert child.returncode == 0, f"{self.program.command} ended with {child.returncode}: {told[-2000:]}"
        return told

    def ask(self, network: AgentNetwork, home: Path, project: Path, prompt: str, words: Sequence[str] = ()) -> str:
        """Put a prompt to it; `words` stand before the prompt, such as those that resume a session."""
        return self.run(network, home, project, *words, *self.words, prompt)


CLAUDE = Driver(
    programs.CLAUDE,
    {
        "ANTHROPIC_BASE_URL": _URL,
        "ANTHROPIC_API_KEY": _KEY,
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "DISABLE_TELEMETRY": "1",
        "DISABLE_AUTOUPDATER": "1",
        "DISABLE_ERROR_REPORTING": "1",
        "IS_SANDBOX": "1",
    },
    words=("--dangerously-skip-permissions", "--output-format", "json", "-p"),
)
CODEX = Driver(programs.CODEX, {"SCRIPTED_KEY": _KEY}, {".codex/config.toml": _CODEX_CONFIG})
CODETETHER = Driver(
    programs.CODETETHER,
    {"HF_BASE_URL": f"{_URL}/v1", "HF_TOKEN": _KEY, "CODETETHER_DEFAULT_MODEL": "huggingface/scripted-1"},
    words=("--access-mode", "full"),
)
COPILOT = Driver(
    programs.COPILOT,
    {
        "COPILOT_AUTO_UPDATE": "false",
        "COPILOT_OFFLINE": "true",
        "COPILOT_PROVIDER_BASE_URL": f"{_URL}/v1",
        "COPILOT_PROVIDER_TYPE": "openai",
        "COPILOT_PROVIDER_API_KEY": _KEY,
        "COPILOT_MODEL": "scripted-1",
    },
    words=("--allow-all-tools", "--no-auto-update", "-p"),
)
GEMINI = Driver(
    programs.GEMINI,
    {
        "GEMINI_API_KEY": _KEY,
        "GOOGLE_GEMINI_BASE_URL": _URL,
        "GEMINI_CLI_NO_RELAUNCH": "true",
        "GEMINI_CLI_TRUST_WORKSPACE": "true",
    },
    {".gemini/settings.json": _GEMINI_CONFIG},
    ("-y", "-p"),
)
OPENCODE = Driver(
    programs.OPENCODE,
    {
        "OPENCODE_DISABLE_AUTOUPDATE": "1",
        "OPENCODE_DISABLE_MODELS_FETCH": "1",
        "OPENCODE_DISABLE_DEFAULT_PLUGINS": "1",
        "OPENCODE_DISABLE_LSP_DOWNLOAD": "1",
    },
    {".config/opencode/opencode.json": _OPENCODE_CONFIG},
)
PI = Driver(
    programs.PI,
    {"PI_OFFLINE": "1", "PI_SKIP_VERSION_CHECK": "1", "PI_TELEMETRY": "0", "SCRIPTED_KEY": _KEY},
    {
        ".pi/agent/models.json": _PI_MODELS,
        ".pi/agent/settings.json": {"defaultProvider": "scripted", "defaultModel": "scripted-1", "quietStartup": True},
    },
    ("-p", "--provider", "scripted", "--model", "scripted-1"),
)
QWEN = Driver(
    programs.QWEN,
    {
        "OPENAI_API_KEY": _KEY,
        "OPENAI_BASE_URL": f"{_URL}/v1",
        "OPENAI_MODEL": "scripted-1",
        "QWEN_TELEMETRY_ENABLED": "false",
    },
    {".qwen/settings.json": _QWEN_CONFIG},
    ("-y", "-p"),
)
