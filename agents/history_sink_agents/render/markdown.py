"""A turn as text, by the rules of the program that this archive was made for, and the name of its file."""

from history_sink_agents.render.turns import Part, Turn, Who

_LEAST_DIGITS = 4


def write_markdown(turn: Turn) -> str:
    """The text of a turn.

    Texts stand as they are; a call, a result, an image, a file and thinking begin with a mark in brackets. Parts are
    joined by a blank line where something stands before. There is no newline at the end.
    """
    written, who = "", None
    for part in turn.parts:
        if written:
            written += "\n\n"
        if part.who and part.who != who:
            written += f"[{part.who}]\n\n"
            who = part.who
        written += _write_part(part)
    return written


def name_turn(number: int, who: Who) -> str:
    """The file name of a turn: ``turn-0007-user.md``.

    From 10,000 on the number has more digits, with as many letters in front as it has more than four: names then sort
    as the numbers do, and those below 10,000 stay what they were.
    """
    digits = f"{number:0{_LEAST_DIGITS}d}"
    return f"turn-{'x' * (len(digits) - _LEAST_DIGITS)}{digits}-{who}.md"


def _write_part(part: Part) -> str:
    match part.kind:
        case "tool_result":
            return f"[tool_result tool_call_id={part.call_id}]\n{part.text}"
        case "tool_call":
            return f"[tool_call {part.name}]\n{part.text}"
        case "thinking":
            return f"[thinking]\n{part.text}"
        case "image" | "file":
            return f"[{part.kind} {part.text}]"
        case _:
            return part.text
