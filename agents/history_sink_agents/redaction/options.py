"""Passwords behind an option of one letter, which means a password for some programs only."""

import re
from collections.abc import Iterator

from history_sink_agents.redaction.randomness import is_no_word, is_random

_LINE_CHARACTERS = 400
_OPTION = re.compile(
    r""" (?:-(?P<letter>[pPuUaAwbkx])|--(?P<word>user|proxy-user|cookie|body|account-key))(?P<space>[ \t=]*)
    (?:\\*["'](?P<quoted>[^\s"'`\\]{6,2000})|(?P<bare>[^\s"'`<>|;\\)]{6,2000}))""".replace("\n    ", "")
)
_GLUED = re.compile(r"\b(?:mysql\w*|maria\w*|sshpass|7z\w*|mycli)\b[^\n|;&]*$")
_APART = {
    "p": re.compile(
        r"\b(?:(?:docker|podman|nerdctl|buildah|skopeo|helm|az|oras|oc|crane|rancher|argocd|registry|login)\b[^\n|;&]*\blogin"
        r"|sshpass|mongo\w*|influx|clickhouse\S*|cqlsh|mssql-cli|snowsql)\b[^\n|;&]*$"
    ),
    "P": re.compile(r"\b(?:zip|unzip|sqlcmd|bcp|mosquitto_\w+|isql|tsql|ipmitool)\b[^\n|;&]*$"),
    "a": re.compile(r"\bredis-cli\b[^\n|;&]*$"),
    "w": re.compile(r"\bldap\w+\b[^\n|;&]*$"),
    "k": re.compile(r"\bopenssl\b[^\n|;&]*$"),
    "A": re.compile(r"\bsnmp\w+\b[^\n|;&]*$"),
    "x": re.compile(r"\bsnmp\w+\b[^\n|;&]*$"),
    "body": re.compile(r"\bgh secret set\b[^\n|;&]*$"),
    "account-key": re.compile(r"\baz\b[^\n|;&]*$"),
}
_OF_A_USER = ("u", "U", "a", "user", "proxy-user")
_USER = re.compile(r"[\w.@%+-]*[:%](?P<value>.{6,})")
_AS_A_USER = re.compile(r"\b(?:curl|wget|https?|smbclient|rpcclient|xh|ab|siege|wrk)\b[^\n|;&]*$")
_COOKIES = re.compile(r"=(?P<value>[^;]{12,})")
_AS_COOKIES = re.compile(r"\b(?:curl|xh|hurl)\b[^\n|;&]*$")


def find(text: str) -> Iterator[tuple[int, int]]:
    """Where such values are."""
    for found in _OPTION.finditer(text):
        kind = "quoted" if found["quoted"] else "bare"
        start, end = found.span(kind)
        option = found["letter"] or found["word"]
        before = text[max(0, found.start() - _LINE_CHARACTERS) : found.start()]
        pair = _USER.fullmatch(text, start, end) if option in _OF_A_USER and _AS_A_USER.search(before) else None
        if pair and is_no_word(pair["value"]):
            yield pair.span("value")
        elif option in ("b", "cookie"):
            if _AS_COOKIES.search(before):
                yield from (each.span("value") for each in _COOKIES.finditer(text, start, end) if is_random(each[1]))
        elif _takes(option, found["space"], before) and is_no_word(found[kind]):
            yield start, end


def _takes(option: str, space: str, before: str) -> bool:
    """Whether this program's option of that name takes a password."""
    if option == "p" and _GLUED.search(before):
        return True
    command = _APART.get(option)
    return bool(space and command and command.search(before))
