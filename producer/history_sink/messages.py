"""Types of the messages that agents of this family write, for editors and type checkers.

Nothing checks them at run time: any JSON object is a message, and is archived as it is.
"""

from typing import Literal, NotRequired, TypeAlias, TypedDict

Role: TypeAlias = Literal["system", "user", "assistant", "tool", "developer"]


class TextPart(TypedDict):
    type: Literal["text"]
    text: str


class ImagePart(TypedDict):
    type: Literal["image"]
    url: str
    mime_type: str | None


class FilePart(TypedDict):
    type: Literal["file"]
    path: str
    mime_type: str | None


class ToolCallPart(TypedDict):
    type: Literal["tool_call"]
    id: str
    name: str
    arguments: str
    """A JSON string."""
    thought_signature: NotRequired[str]


class ToolResultPart(TypedDict):
    type: Literal["tool_result"]
    tool_call_id: str
    content: str


class ThinkingPart(TypedDict):
    type: Literal["thinking"]
    text: str
    signature: NotRequired[str | None]


Part: TypeAlias = TextPart | ImagePart | FilePart | ToolCallPart | ToolResultPart | ThinkingPart


class ChatMessage(TypedDict):
    """One message of a transcript: who speaks, and the parts of what is said."""

    role: Role
    content: list[Part]
