"""Layer 1: the values of the environment's variables whose names say that they are secrets."""

import re
from collections.abc import Mapping

LEAST_CHARACTERS = 8

_NAME = re.compile(
    r"TOKEN|SECRET|PASSW(?:OR)?D|PASSPHRASE|PASSCODE|APIKEY|CREDENTIAL|_PWD$|(?:^|_)(?:PASS|PW|AUTH|PAT|JWT|DSN)$"
    r"|(?:^|_)KEY$|_KEY_|PRIVATE|_URL$|_URI$",
    re.IGNORECASE,
)
_PASSWORD_IN_URL = re.compile(r"^[a-z][a-z0-9+.-]*://[^/\s:@]*:([^/\s@]+)@", re.IGNORECASE)
_TOKEN_IN_URL = re.compile(r"^[a-z][a-z0-9+.-]*://([^/\s:@]{16,})@", re.IGNORECASE)
_HARMLESS = re.compile(r"(?:true|false|null|none|disabled|enabled|required|optional|default|changeme|anonymous)", re.I)
_PATH = re.compile(r"(?:~|\.{1,2})?/[\w@.~+-]+(?:/[\w@.~+-]*)*")
_NAMES_A_FILE = re.compile(r"_(?:FILE|PATH|DIR|SOCK|CREDENTIALS)$", re.IGNORECASE)


def find_values(environment: Mapping[str, str]) -> dict[str, str]:
    """Secret values, each with its variable's name: of URLs only the password, or the token in a user's place.

    A value of less than 8 characters, a file's path and a word such as ``disabled`` is no secret, nor is a public key.
    """
    found: dict[str, str] = {}
    for name in sorted(environment):
        if _NAME.search(name) and "PUBLIC" not in name.upper():
            value = _read(name, environment[name].strip())
            if len(value) >= LEAST_CHARACTERS and not _HARMLESS.fullmatch(value):
                found.setdefault(value, name)
    return found


def _read(name: str, value: str) -> str:
    for secret in (_PASSWORD_IN_URL.match(value), _TOKEN_IN_URL.match(value)):
        if secret:
            return secret[1]
    is_address = "://" in value or name.upper().endswith(("_URL", "_URI"))
    return "" if is_address or (_NAMES_A_FILE.search(name) and _PATH.fullmatch(value)) else value
