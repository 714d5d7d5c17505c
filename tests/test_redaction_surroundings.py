"""Planted secrets in surroundings that the rules were not made by: what people and tools write besides."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.planted_secrets import Mint, Planted
from history_sink_agents.redaction import Redaction

SEED = 100


def say(text: str) -> Any:
    return {"role": "user", "content": text}


SURROUNDINGS: dict[str, Callable[[str, str], Any]] = {
    "request": lambda name, value: say(f"here is my {name.lower().replace('_', ' ')}: {value} please use it"),
    "backticks": lambda name, value: say(f"The {name} is `{value}`."),
    "alone": lambda name, value: say(f"use this one\n{value}\nthanks"),
    "name and value": lambda name, value: {"type": "x", "data": json.dumps({"name": name, "value": value})},
    "arguments": lambda name, value: say(json.dumps({"cmd": ["docker", "run", "-e", f"{name}={value}", "img"]})),
    "option": lambda name, value: say(f"$ tool --{name.lower().replace('_', '-')} {value} --verbose"),
    "option with =": lambda name, value: say(f"$ tool --{name.lower().replace('_', '-')}={value} --verbose"),
    "powershell": lambda name, value: say(f'$env:{name} = "{value}"'),
    "toml": lambda name, value: say(f"[app]\n{name.lower()} = '{value}'\n"),
    "xml": lambda name, value: say(f"<config><{name.lower()}>{value}</{name.lower()}></config>"),
    "python": lambda name, value: say(f"print(cfg)\n{{'{name}': '{value}', 'x': 1}}"),
    "error": lambda name, value: say(f"KeyError: {name}={value!r} not in scope"),
    "removed line": lambda name, value: say(f"-  {name}: {value}\n+  {name}: ${{{name}}}\n"),
    "added line": lambda name, value: say(f'+const {name} = "{value}";\n'),
    "camel case": lambda name, value: say(json.dumps({"".join(map(str.title, name.split("_"))): value})),
    "comment": lambda name, value: say(f"# old {name}: {value}"),
    "numbered": lambda name, value: say(f"     7\texport {name}={value}"),
    "grep": lambda name, value: say(f".env:3:{name}={value}"),
    "query": lambda name, value: say(f"GET https://host/x?{name.lower()}={value}&y=1"),
    "three deep": lambda name, value: {"a": json.dumps({"b": json.dumps({"c": json.dumps({name: value})})})},
    "words": lambda name, value: say(f"set {name} {value}"),
    "table": lambda name, value: say(f"| {name} | {value} |"),
    "here document": lambda name, value: say(f"cat > .env <<EOF\n{name}={value}\nEOF"),
    "colours": lambda name, value: say(f"\x1b[32m{name}\x1b[0m=\x1b[33m{value}\x1b[0m"),
    "manifest": lambda name, value: say(f'  - name: {name}\n    value: "{value}"\n'),
}


def test_planted_secrets_are_gone_from_surroundings_that_nobody_tuned_the_rules_by(tmp_path: Path) -> None:
    redaction, mint = Redaction(environment={}, state_folder=tmp_path), Mint(SEED)
    left, count = Counter[str](), 0
    for kind, (name, make) in mint.kinds.items():
        for surrounding, build in SURROUNDINGS.items():
            value = make()
            line = json.dumps(build(name, value), ensure_ascii=False).encode()
            after = redaction(line)
            assert redaction(after) == after
            read = json.dumps(json.loads(after), ensure_ascii=False)
            count += 1
            if not Planted(kind, surrounding, value, line).is_gone_from(read):
                left[f"{kind}, {surrounding}"] += 1
    assert count == 15 * 25
    assert sum(left.values()) <= 0.06 * count, left
