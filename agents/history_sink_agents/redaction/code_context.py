"""What stands behind a secret's name, and is none by what stands around it. Since the second version of the rules."""

import re

from history_sink_agents.redaction.code_names import is_a_name, is_made_of_words, is_spoken

_BEFORE_CHARACTERS = 120
_TYPE = re.compile(r"[A-Za-z_][A-Za-z_:]*<[A-Za-z_:<>, &'\[\]]*[)\]};,:]*")  # Option<SigningKey>
_PATH = re.compile(r"\$\{?\w+\}?/[\w./${}-]*")  # $HOME/.config/tokens
_SHELL = re.compile(r"\$\{[\w#!@*]+[^\s]*")  # "${lines[0]}", in quotes, too
_EXAMPLE = re.compile(r"[\w+/=.-]*EXAMPLE[\w+/=.-]*|[\w+/=-]{4,}(?:\.\.\.|\u2026)")  # of a manual, or cut short
DEFAULT_PASSWORD = re.compile(
    r"(?:minio(?:admin)?|rabbitmq|postgres|mysql|redis|elastic|guest|admin|root|password|secret|changeme|test|example)\d{0,3}"
)
"""What programs ship with, and manuals write."""

_OPEN = re.compile(
    r"[$<{\[`].*|[@:]\w+|%\(?\w*\)?[sdrq].*|.*\$(?:\{\w|\(\w+[ )]|[A-Z_]{3}).*|\w+\(.*"
    r"|[\w+/=.-]*EXAMPLE[\w+/=.-]*|.*(?:\.\.\.|\u2026|\*{3,}).*|(.)\1+",
    re.DOTALL,
)
_ARN = re.compile(r"\barn:[\w-]+:[\w:*/.-]*$")  # a secret's name in AWS, and not the secret
_OF_A_NAME = re.compile(r"secret_?name[\"'`\\]*[ \t]*[:=][ \t]*[\"'`\\]*$", re.IGNORECASE)
_OF_AN_ID = re.compile(r"(?:_id|Id)[\"'`\\]*[ \t]*[:=][ \t]*[\"'`\\]*$")
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_DRAWN = re.compile(r"(?=[A-Za-z]*\d+[A-Za-z]+\d)(?=[A-Z\d]*[a-z])(?=[a-z\d]*[A-Z])[A-Za-z0-9]{16}")
_OF_A_TYPE = re.compile(r"[\"']\w+::\w+::\w+[\"'][ \t]*:[ \t]*[\"']$")  # "AWS::ApiGateway::ApiKey": "…"
_OF_A_PAGE = re.compile(
    r"(?:next(?:forward|backward|lock|sequence)?|starting|continuation|pagination|page|change|lock|idempotency"
    r"|client[_-]?request)[_-]?token[\"'`]?[ \t]*[:=]?[ \t]*[\"'`]?$",
    re.IGNORECASE,
)


def is_harmless(text: str, start: int, end: int) -> bool:
    """Whether ``text[start:end]`` reads as code, or is known for what it is by the text before it."""
    return is_a_name(text, start, end, is_made_of_words) or _is_known(text, start, end)


def is_code(text: str, start: int, end: int) -> bool:
    """As `is_harmless`; words without a vowel are none. Since the third version of the rules."""
    return is_a_name(text, start, end, is_spoken) or _is_known(text, start, end)


def is_certainly_code(text: str, start: int, end: int) -> bool:
    """As `is_code`; drawn letters make no name, and what names a secret is none. Since the fourth version."""
    if _is_known(text, start, end) or _is_a_reference(text, start, end):
        return True
    return is_a_name(text, start, end, is_spoken) and not _DRAWN.search(text, start, end)


def _is_known(text: str, start: int, end: int) -> bool:
    secret, before = text[start:end], text[max(0, start - _BEFORE_CHARACTERS) : start]
    if any(each.fullmatch(secret) for each in (_TYPE, _PATH, _SHELL, _EXAMPLE)):
        return True
    return any(each.search(before) for each in (_ARN, _OF_A_TYPE, _OF_A_PAGE))


def _is_a_reference(text: str, start: int, end: int) -> bool:
    """What stands behind ``secretName``, and a UUID behind an id's name."""
    before = text[max(0, start - _BEFORE_CHARACTERS) : start]
    if _OF_A_NAME.search(before):
        return True
    return _OF_AN_ID.search(before) is not None and _UUID.fullmatch(text, start, end) is not None


def is_left_open(text: str, start: int, end: int) -> bool:
    """Whether something else is to stand there: a variable, a template's field, an example, or what is hidden already.

    It is all that is asked of what can only be a password by where it stands.
    """
    return _OPEN.fullmatch(text, start, end) is not None
