"""What `history_sink` names to its users: complete, documented, and the errors that the docstrings promise among it."""

import builtins
import inspect
import re
from collections.abc import Callable, Iterator
from itertools import takewhile
from pathlib import Path
from types import ModuleType
from typing import Any, get_args, get_type_hints

import pytest

import history_sink
import history_sink.errors
import history_sink.testing
from history_sink import HistorySink, HistorySinkError

README = (Path(__file__).parents[1] / "README.md").read_text()

_SECTION = re.compile(r"^ *(Args|Returns|Raises):\n((?: {4,}.*\n?|\n)*)", re.MULTILINE)
_SENTENCE = re.compile(r"\b[Rr]aises\b((?:[^.]|\.(?=\w))*)")
_ERROR = re.compile(r"`([A-Z_a-z.]+)`")


def name_public(module: ModuleType) -> Iterator[tuple[str, Any]]:
    for name in module.__all__:
        yield name, getattr(module, name)


def public_callables() -> Iterator[tuple[str, Callable[..., Any]]]:
    """Functions, classes, and public methods of classes that are this package's own."""
    for name, value in [*name_public(history_sink), *name_public(history_sink.testing)]:
        if inspect.isclass(value):
            yield name, value
            for attribute in own_attributes(value):
                member = inspect.getattr_static(value, attribute)
                method = member.__func__ if isinstance(member, (classmethod, staticmethod)) else member
                if inspect.isfunction(method) and is_public(attribute, method):
                    yield f"{name}.{attribute}", method
        elif inspect.isfunction(value):
            yield name, value


def own_attributes(kind: type) -> dict[str, Any]:
    """Of the class, and of those of its bases that are no public classes themselves."""
    kinds = [each for each in inspect.getmro(kind) if each.__module__.startswith("history_sink")]
    own = takewhile(lambda each: each is kind or each.__name__ not in history_sink.__all__, kinds)
    return {name: value for each in own for name, value in vars(each).items()}


def is_public(name: str, method: Callable[..., Any]) -> bool:
    return not name.startswith("_") and not (method.__doc__ or "").startswith("Not public")


CALLABLES = dict(public_callables())
SINKS = ("HistorySink.", "MemorySink.", "MemoryArchive.")
METHODS_OF_THE_SINK = {name: each for name, each in CALLABLES.items() if name.startswith(SINKS)}


def sections_of(text: str) -> dict[str, str]:
    return dict(_SECTION.findall(text))


def errors_in(text: str) -> set[str]:
    """What a docstring says it raises, in a section or in a sentence."""
    raised = sections_of(text).get("Raises", "")
    found = set(re.findall(r"^ {4}([\w.]+): ", raised, re.MULTILINE))
    for sentence in _SENTENCE.findall(text):
        found |= {name for name in _ERROR.findall(sentence) if name.rpartition(".")[2][:1].isupper()}
    return found


def classes_in(hint: Any) -> Iterator[type]:
    if inspect.isclass(hint):
        yield hint
    for part in get_args(hint):
        yield from classes_in(part)


def test_docstrings_are_read_in_either_form() -> None:
    section = "Do.\n\nReturns:\n    It.\n\nRaises:\n    Malformed: It\n        is not.\n    Unavailable: It is away.\n"
    assert errors_in(section) == {"Malformed", "Unavailable"}
    assert errors_in("See `Fault`. Raises `Malformed`, `restore.NotFound` with `fault`.") == {
        "Malformed",
        "restore.NotFound",
    }


def test_there_are_callables_to_look_at() -> None:
    assert {"HistorySink.read", "HistorySink.from_env", "Fault.decode", "ProducerSettings"} <= CALLABLES.keys()
    assert len({error for each in CALLABLES.values() for error in errors_in(inspect.getdoc(each) or "")}) > 5


@pytest.mark.parametrize("name", CALLABLES)
def test_each_error_that_a_docstring_names_is_importable_from_the_root(name: str) -> None:
    for error in errors_in(inspect.getdoc(CALLABLES[name]) or ""):
        home = builtins if hasattr(builtins, error) else history_sink
        assert home is builtins or error in history_sink.__all__, f"{name} raises {error}"
        assert issubclass(getattr(home, error), Exception)


def test_each_error_of_the_package_is_importable_from_the_root() -> None:
    own = {name for name, value in vars(history_sink.errors).items() if inspect.isclass(value)}
    assert own <= {*history_sink.__all__}
    assert all(issubclass(getattr(history_sink, name), HistorySinkError) for name in own)


@pytest.mark.parametrize("name", METHODS_OF_THE_SINK)
def test_each_class_that_a_signature_names_is_importable_from_the_root(name: str) -> None:
    public = [value for _, value in [*name_public(history_sink), *name_public(history_sink.testing)]]
    for hint in get_type_hints(METHODS_OF_THE_SINK[name]).values():
        for found in classes_in(hint):
            is_own = found.__module__.startswith("history_sink") and not getattr(found, "_is_protocol", False)
            assert not is_own or found in public, f"{name} names {found.__qualname__}"


@pytest.mark.parametrize("name", METHODS_OF_THE_SINK)
def test_each_method_of_the_sink_says_what_it_takes_returns_and_raises(name: str) -> None:
    method = METHODS_OF_THE_SINK[name]
    text = inspect.getdoc(method) or ""
    assert "Raises:" in text or re.search(r"[Nn]ever raises\b", text)
    if re.search(r"Args and Returns: as `\w+`", text):
        return
    sections = sections_of(text)
    parameters = [*inspect.signature(method).parameters][1:]
    told = dict(re.findall(r"^ {4}(\w+): ((?:.|\n {5,})*)", sections.get("Args", ""), re.MULTILINE))
    assert [*told] == parameters
    assert all("seconds" in told[each] for each in parameters if each.endswith("_seconds"))
    is_told = "Returns" in sections or not parameters
    assert is_told or inspect.signature(method).return_annotation in (None, "None")


def test_the_names_are_sorted_and_each_is_there_once() -> None:
    assert len({*history_sink.__all__}) == len(history_sink.__all__)
    assert all(hasattr(history_sink, name) for name in history_sink.__all__)


def test_the_readme_does_not_say_that_nothing_else_raises() -> None:
    assert "nothing but constructing it ever raises" not in README
    assert "`save`, `append`, `flush` and `close` never raise" in " ".join(README.split())


def test_the_constructor_says_what_it_takes() -> None:
    assert [*inspect.signature(HistorySink).parameters] == re.findall(
        r"^ {4}(\w+): ", sections_of(inspect.getdoc(HistorySink.__init__) or "")["Args"], re.MULTILINE
    )
