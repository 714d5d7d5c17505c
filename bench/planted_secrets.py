"""Secrets that nobody has: 15 kinds, made anew in each run, and planted into lines as agents write them."""

import base64
import hashlib
import json
import random
import string
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase
WITNESS = 12
"""So many characters of a secret in a row are a leak."""


@dataclass(frozen=True, slots=True)
class Planted:
    """One line with one secret in it."""

    kind: str
    surrounding: str
    value: str
    line: bytes

    def is_gone_from(self, text: str) -> bool:
        """Whether no piece of the secret is left. Line ends and escapes of them count for nothing."""
        secret = self.value.partition("//app:")[2].partition("@")[0] or self.value  # of a URL its password
        bare, left = _bare(secret), _bare(text)
        return not any(bare[at : at + WITNESS] in left for at in range(max(1, len(bare) - WITNESS + 1)))


def _bare(text: str) -> str:
    for each in ("\\\\n", "\\n", "\n", "\\"):
        text = text.replace(each, "")
    return text


class Mint:
    """Makes secrets of each kind."""

    def __init__(self, seed: int) -> None:
        self.draw = random.Random(seed)
        self.kinds: dict[str, tuple[str, Callable[[], str]]] = {
            "aws id": ("AWS_ACCESS_KEY_ID", lambda: "AKIA" + self.text(16, string.ascii_uppercase + "234567")),
            "aws secret": ("AWS_SECRET_ACCESS_KEY", lambda: self.text(40, BASE62 + "+/")),
            "github": ("GITHUB_TOKEN", lambda: self.checked("ghp_")),
            "npm": ("NPM_TOKEN", lambda: self.checked("npm_")),
            "jwt": ("SESSION_JWT", self.jwt),
            "anthropic": ("ANTHROPIC_API_KEY", lambda: f"sk-ant-api03-{self.text(93, BASE62 + '-_')}AA"),
            "openai": ("OPENAI_API_KEY", lambda: f"sk-proj-{self.text(74)}T3BlbkFJ{self.text(74)}"),
            "slack": ("SLACK_TOKEN", lambda: f"xoxb-{self.digits(12)}-{self.digits(13)}-{self.text(24)}"),
            "stripe": ("STRIPE_KEY", lambda: f"sk_live_{self.text(24)}"),
            "google": ("GOOGLE_API_KEY", lambda: "AIza" + self.text(35, BASE62 + "-_")),
            "gitlab": ("GITLAB_TOKEN", lambda: "glpat-" + self.text(20)),
            "password": ("DB_PASSWORD", lambda: self.text(8) + self.digits(2) + "!" + self.text(6)),
            "database": ("DATABASE_URL", lambda: f"postgres://app:{self.text(20)}@db/app"),
            "rsa": ("SIGNING_KEY", self.rsa),
            "ssh": ("SSH_KEY", self.ssh),
        }

    def text(self, length: int, alphabet: str = BASE62) -> str:
        return "".join(self.draw.choices(alphabet, k=length))

    def digits(self, length: int) -> str:
        return self.text(length, string.digits[1:])

    def checked(self, prefix: str) -> str:
        """With the checksum that GitHub's and npm's tokens end in."""
        entropy, number, sum_ = self.text(30), 0, ""
        number = zlib.crc32(entropy.encode())
        while number or len(sum_) < 6:
            number, digit = divmod(number, 62)
            sum_ = BASE62[digit] + sum_
        return prefix + entropy + sum_

    def jwt(self) -> str:
        parts = [{"alg": "HS256", "typ": "JWT"}, {"sub": self.text(24), "jti": self.text(24)}]
        compact = [json.dumps(part, separators=(",", ":")) for part in parts]
        encoded = [base64.urlsafe_b64encode(part.encode()).decode().rstrip("=") for part in compact]
        return ".".join([*encoded, base64.urlsafe_b64encode(self.draw.randbytes(32)).decode().rstrip("=")])

    def rsa(self) -> str:
        key = rsa.generate_private_key(65537, 2048)
        return key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode().strip()

    def ssh(self) -> str:
        key = ed25519.Ed25519PrivateKey.from_private_bytes(self.draw.randbytes(32))
        return key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode().strip()


def _text(text: str) -> Any:
    return {"role": "assistant", "content": [{"type": "text", "text": text}]}


def _result(text: str) -> Any:
    return {"type": "user", "message": {"role": "user", "content": [{"type": "tool_result", "content": text}]}}


def _call(arguments: Any) -> Any:
    return {"role": "assistant", "content": [{"type": "tool_call", "name": "bash", "arguments": json.dumps(arguments)}]}


SURROUNDINGS: dict[str, Callable[[str, str], Any]] = {
    "prose": lambda name, value: _text(f"Sure. I have set {name} to {value} and restarted it.\nAnything else?"),
    "assignment": lambda name, value: _result(f"$ cat .env\nDEBUG=1\n{name}={value}\nPORT=8080\n"),
    "command": lambda name, value: _call({"command": f"export {name}='{value}' && make deploy", "timeout": 60}),
    "nested json": lambda name, value: _result(json.dumps({"exit": 0, "stdout": json.dumps({"env": {name: value}})})),
    "object field": lambda name, value: {"type": "tool_use", "input": {"environment": {name: value, "PORT": "80"}}},
    "diff": lambda name, value: _result(f"@@ -1,3 +1,3 @@\n context\n-{name}=old\n+{name}={value}\n more context\n"),
    "yaml": lambda name, value: _result(f"app:\n  environment:\n    {name}: \"{value}\"\n  port: 1\n"),
    "code": lambda name, value: _result(f"     1\timport os\n     2\t{name} = \"{value}\"\n     3\tprint(1)\n"),
    "header": lambda name, value: _call({"command": f"curl -H 'Authorization: Bearer {value}' https://host/{name}"}),
    "log": lambda name, value: _text(f"12:00:00 INFO config loaded: {{'{name.lower()}': '{value}', 'port': 1}}"),
}  # fmt: skip


def plant(seed: int, draws: int = 1) -> Iterator[Planted]:
    """Each kind in each surrounding, `draws` times."""
    mint = Mint(seed)
    for _ in range(draws):
        for kind, (name, make) in mint.kinds.items():
            for surrounding, build in SURROUNDINGS.items():
                value = make()
                line = json.dumps(build(name, value), separators=(",", ":"), ensure_ascii=False).encode()
                yield Planted(kind, surrounding, value, line)


def opaque(seed: int) -> str:
    """A signature as models give one: long, of much entropy, and no secret."""
    return base64.b64encode(b"".join(hashlib.sha512(f"{seed} {n}".encode()).digest() for n in range(5))).decode()
