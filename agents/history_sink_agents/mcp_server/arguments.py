"""What each tool takes. A client shows these texts to its model, and the schema that pydantic makes of them."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

Session = Annotated[str, Field(description="The session's id, as list_sessions names it.", min_length=1)]
Branch = Annotated[
    str | None,
    Field(description='A branch of the session; "latest": the log that was written last; default: main log.'),
]


class Arguments(BaseModel):
    """Arguments that nobody knows are refused: a misspelt one would be passed over in silence."""

    model_config = ConfigDict(extra="forbid")


class Recall(Arguments):
    """For `session_recall`."""

    query: Annotated[str, Field(description='Words that may occur; "words in quotes" must.', min_length=1)]
    session: Annotated[str | None, Field(description="Search this session alone.", min_length=1)] = None
    branch: Branch = None
    role: Annotated[
        Literal["user", "assistant", "tool", "system"] | None, Field(description="Only what this role said.")
    ] = None
    project: Annotated[
        str | None, Field(description="A folder in which the agent has worked, or the last part of it.", min_length=1)
    ] = None
    since: Annotated[float | None, Field(description="Only what was written since then, in Unix seconds.", ge=0)] = None
    limit: Annotated[int, Field(description="How many hits at most.", ge=1, le=50)] = 10


class Browse(Arguments):
    """For `context_browse`."""

    session: Session
    action: Annotated[
        Literal["list", "show"], Field(description="list: the paths of all turns' files; show: the text of one turn.")
    ] = "list"
    turn: Annotated[int | None, Field(description="Which turn to show, counted from 0.", ge=0)] = None
    branch: Branch = None


class Resolve(Arguments):
    """For `resolve_pointer`: the pointer as it stands in a hit."""

    bucket: Annotated[str, Field(min_length=1)]
    key: Annotated[str, Field(min_length=1)]
    byte_range: Annotated[
        tuple[int, int] | None,
        Field(description="First byte, and the one after the last; default: from the beginning."),
    ] = None
    limit_bytes: Annotated[int, Field(description="How much to read at most.", ge=1, le=1024 * 1024)] = 64 * 1024


class List(Arguments):
    """For `list_sessions`."""

    after: Annotated[str, Field(description="Begin behind this name: next_after of the page before.")] = ""
    prefix: Annotated[str, Field(description="Only sessions whose names begin with this.")] = ""
    limit: Annotated[int, Field(description="How many sessions at most.", ge=1, le=1000)] = 50


def explain(error: ValidationError) -> list[str]:
    """What is wrong with which argument, without the value that was given: that may be anybody's words."""
    found = error.errors(include_url=False, include_input=False, include_context=False)
    return [f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in found]
