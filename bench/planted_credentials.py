"""Credentials as tools, protocols and files of settings take them, in what agents write around them; each one new."""

import base64
import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from bench.credential_forms import MADE, PASSWORDS, draw_password

WITNESS = 8
"""So many characters of a secret in a row are a leak."""


@dataclass(frozen=True, slots=True)
class Credential:
    """One line with one credential in it, and what of it may not be left."""

    form: str
    surrounding: str
    secrets: tuple[str, ...]
    line: bytes

    def is_gone_from(self, text: str) -> bool:
        """Whether no piece of it is left. Escapes count for nothing."""
        left = _bare(text)
        return not any(
            bare[at : at + WITNESS] in left
            for bare in map(_bare, self.secrets)
            for at in range(max(1, len(bare) - WITNESS + 1))
        )


def _bare(text: str) -> str:
    return text.replace("\\", "").replace("\r", "").replace("\n", "")


def _make_key(draw: random.Random, kind: str) -> str:
    body = base64.b64encode(draw.randbytes(600)).decode()
    lines = [body[at : at + 64] for at in range(0, len(body), 64)]
    return "\n".join((f"-----BEGIN {kind}PRIVATE KEY-----", *lines, f"-----END {kind}PRIVATE KEY-----"))


_KEYS: dict[str, Callable[[str], str]] = {
    "literal line ends": lambda key: 'PRIVATE_KEY="' + key.replace("\n", "\\n") + '"',
    "literal, twice": lambda key: 'key = "' + key.replace("\n", "\\\\n") + '"',
    "service account": lambda key: json.dumps({"type": "service_account", "private_key": key + "\n", "a": 1}, indent=2),
    "indented": lambda key: "tls:\n  key: |\n    " + key.replace("\n", "\n    "),
    "numbered": lambda key: "\n".join(f"{n:6}\t{line}" for n, line in enumerate(key.split("\n"), 1)),
    "added": lambda key: "@@ -0,0 +1,9 @@\n+" + key.replace("\n", "\n+"),
    "removed": lambda key: "-" + key.replace("\n", "\n-"),
    "quoted": lambda key: "> " + key.replace("\n", "\n> "),
    "line ends of DOS": lambda key: key.replace("\n", "\r\n"),
    "joined": lambda key: "key = (\n" + "\n".join(f'  "{line}\\n"' for line in key.split("\n")) + "\n)",
}  # fmt: skip


def _say(text: str) -> Any:
    return {"role": "user", "content": [{"type": "text", "text": text}]}


def _result(text: str) -> Any:
    return {"type": "user", "message": {"content": [{"type": "tool_result", "content": text}]}}


def _call(value: Any) -> Any:
    return {"role": "assistant", "content": [{"type": "tool_call", "name": "bash", "arguments": json.dumps(value)}]}


SURROUNDINGS: dict[str, Callable[[str], Any]] = {
    "tool's result": lambda text: _result(text),
    "shell": lambda text: _result(f"$ {text}\nok\n$ "),
    "command": lambda text: _call({"command": text, "timeout": 60}),
    "JSON in JSON": lambda text: _result(json.dumps({"exit": 0, "stdout": json.dumps({"out": text})})),
    "diff": lambda text: _result("@@ -1,3 +1,4 @@\n context\n+" + text.replace("\n", "\n+") + "\n more\n"),
    "removed": lambda text: _result("--- a\n+++ b\n-" + text.replace("\n", "\n-") + "\n+other\n"),
    "numbered": lambda text: _result("\n".join(f"{n:6}\t{line}" for n, line in enumerate(text.split("\n"), 7))),
    "prose": lambda text: _say(f"I ran this:\n\n{text}\n\nand it failed. Why?"),
    "fenced": lambda text: _say(f"Try\n```\n{text}\n```\nplease"),
    "backticks": lambda text: _say(f"Run `{text}` first."),
    "escaped": lambda text: _result(f'log: msg={json.dumps("got " + text)} level=info'),
    "escaped twice": lambda text: _result(f"x = {json.dumps(json.dumps('got ' + text))};"),
    "logged": lambda text: _result(f"2026-11-29T12:00:00Z INFO app.main: {text}\n2026-11-29T12:00:01Z INFO done"),
}  # fmt: skip


def plant(seed: int, draws: int = 1) -> Iterator[Credential]:
    """Each form in each surrounding, `draws` times."""
    draw = random.Random(seed)
    for _ in range(draws):
        for form, (template, make) in _list_forms().items():
            for surrounding, build in SURROUNDINGS.items():
                secret = make(draw)
                text = _KEYS[form](secret) if form in _KEYS else template.format(secret, "")
                parts = secret.split("\n")[1:-1] if form in _KEYS else [secret]
                line = json.dumps(build(text), separators=(",", ":"), ensure_ascii=False).encode()
                yield Credential(form, surrounding, tuple(parts), line)


def _list_forms() -> dict[str, tuple[str, Callable[[random.Random], str]]]:
    return {
        **{form: (template, draw_password) for form, template in PASSWORDS.items()},
        **MADE,
        **{form: ("", lambda draw: _make_key(draw, draw.choice(("", "RSA ", "EC ", "OPENSSH ")))) for form in _KEYS},
    }
