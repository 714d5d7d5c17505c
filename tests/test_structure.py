"""The rooms of the house: what each may import, that nothing runs in a circle, and that the drawing shows them all."""

import ast
import re
from collections.abc import Iterator, Mapping
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import history_sink

REPOSITORY = Path(__file__).parent.parent
TREES = {
    "history_sink": REPOSITORY / "producer",
    "history_sink_worker": REPOSITORY / "worker",
    "history_sink_agents": REPOSITORY / "agents",
}
STORE_SDK = {"boto3", "botocore", "mypy_boto3_s3", "s3transfer"}
QUEUE = {"celery", "kombu", "redis", "amqp", "billiard"}

PRODUCER = {
    "errors": set[str](),
    "protocol": {"errors"},
    "ledger": {"errors", "protocol"},
    "settings": {"errors", "protocol"},
    "transport": {"errors", "protocol", "settings"},
    "client": {"errors", "ledger", "protocol", "settings", "transport"},
    "face": {"client", "errors", "ledger", "protocol", "settings", "transport"},
    "testing": {"client", "errors", "face", "ledger", "protocol", "settings", "transport"},
    "cli": {"client", "errors", "face", "ledger", "protocol", "settings", "transport"},
}
"""A room of the producer, and the rooms whose modules it may import."""

WORKER = {
    "ground": set[str](),
    "archive": {"ground"},
    "telemetry": {"ground"},
    "s3": {"ground", "telemetry"},
    "redis_transport": {"ground"},
    "rights": {"archive", "ground"},
    "service": {"archive", "ground", "s3", "telemetry"},
    "gate": {"archive", "ground", "service", "telemetry"},
    "dead": {"archive", "ground", "redis_transport", "service", "telemetry"},
    "intake": {"dead", "gate", "ground", "redis_transport", "service", "telemetry"},
    "search": {"archive", "ground", "service"},
    "life": {"archive", "dead", "ground", "service", "telemetry"},
    "doctor": {"archive", "ground", "redis_transport", "s3", "search", "service", "telemetry"},
    "health": {"archive", "dead", "gate", "ground", "redis_transport", "service", "telemetry"},
    "top": {
        *("archive", "dead", "gate", "ground", "health", "intake", "redis_transport", "s3", "search", "service"),
        "telemetry",
    },
    "cli": {"archive", "dead", "doctor", "ground", "health", "life", "rights", "s3", "service", "telemetry", "top"},
}
"""The same for the worker. Modules beside the rooms are ground, but for those that put all together."""

AGENTS = {
    "ground": set[str](),
    "render": set[str](),
    "pages": {"render"},
    "formats": set[str](),
    "restore": {"formats", "ground", "sealing"},
    "disk": {"formats", "ground", "restore"},
    "stores": {"sealing"},
    "mcp_server": {"browse", "sealing"},
    "browse": {"ground", "render", "sealing"},
    "redaction": {"ground"},
    "sealing": {"ground"},
    "watch": {"formats", "ground"},
    "view": {"browse", "ground", "render", "sealing"},
}
"""The same for what plugs in. Of the library any room imports the public names, and only those."""

ROWS = {"history_sink": PRODUCER, "history_sink_worker": WORKER, "history_sink_agents": AGENTS}
PUBLIC = {"history_sink", "history_sink.testing", *(f"history_sink.{name}" for name in history_sink.__all__)}

BESIDE = {
    "history_sink": {"errors": "errors", "messages": "errors", "settings": "settings"},
    "history_sink_worker": dict.fromkeys(
        ("__init__", "application", "search_step", "search_task", "startup", "task", "tasks", "uploads", "upkeep"),
        "top",
    ),
    "history_sink_agents": {},
}
"""The room of a module that stands beside the rooms; see `room_of` for the others."""


BLOCKS = ("body", "orelse", "finalbody", "handlers", "cases")
"""Where a node has statements: imports are nowhere else, and there are ten times as many expressions."""


def read_imports(path: Path, known: frozenset[str]) -> Iterator[str]:
    """Every module that a file imports, wherever in it, but for type checkers alone."""
    todo: list[ast.AST] = [ast.parse(path.read_text())]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: absolute imports only"
            module = node.module or ""
            yield from (full if (full := f"{module}.{alias.name}") in known else module for alias in node.names)
        for block in BLOCKS:
            if not (block == "body" and isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)):
                todo += getattr(node, block, ())


ROOMS = {
    package: {path.parent.name for path in (tree / package).glob("*/__init__.py")} for package, tree in TREES.items()
}


def name_module(tree: Path, path: Path) -> str:
    return ".".join(path.relative_to(tree).with_suffix("").parts)


def read_tree(package: str) -> dict[str, frozenset[str]]:
    """What each module of a package imports, by the modules' full names."""
    paths = {name_module(TREES[package], path): path for path in sorted((TREES[package] / package).rglob("*.py"))}
    known = frozenset(paths)
    return {name: frozenset(read_imports(path, known)) for name, path in paths.items()}


MODULES = {package: read_tree(package) for package in TREES}
ALL = [pytest.param(package, name, id=name) for package, tree in MODULES.items() for name in tree]


def room_of(name: str) -> str:
    """The room that a module stands in. What is imported by a package's own name is its face, or puts all together."""
    package, *parts = name.split(".")
    if len(parts) > 1 or parts[0] in ROOMS[package]:
        return parts[0]
    return BESIDE[package].get(parts[0], "face" if package == "history_sink" else "ground")


def find_circle(imports: Mapping[str, frozenset[str]]) -> None:
    """Raises `graphlib.CycleError`, which names the circle."""
    TopologicalSorter({name: each & imports.keys() - {name} for name, each in imports.items()}).prepare()


@pytest.mark.parametrize("package", TREES)
def test_modules_import_without_a_circle(package: str) -> None:
    assert len(MODULES[package]) > (30 if package != "history_sink_agents" else 0)
    find_circle(MODULES[package])


@pytest.mark.parametrize("package", TREES)
def test_rooms_import_without_a_circle(package: str) -> None:
    tree = MODULES[package]
    rooms: dict[str, set[str]] = {}
    for name, imports in tree.items():
        rooms.setdefault(room_of(name), set()).update(room_of(each) for each in imports if each in tree)
    find_circle({room: frozenset(imports) for room, imports in rooms.items()})


@pytest.mark.parametrize(("package", "name"), ALL)
def test_a_room_imports_only_what_its_row_allows(package: str, name: str) -> None:
    rows = ROWS[package]
    room, tree = room_of(name), MODULES[package]
    assert room in rows, f"{room} is a new room: give it a row"
    assert {room_of(each) for each in tree[name] if each in tree} <= rows[room] | {room}


@pytest.mark.parametrize(("package", "name"), ALL)
def test_each_library_has_one_home(package: str, name: str) -> None:
    roots = {each.partition(".")[0] for each in MODULES[package][name]}
    room = room_of(name)
    if package == "history_sink":
        assert not roots & {"history_sink_worker", "structlog", *STORE_SDK}
        assert room == "transport" or not roots & QUEUE
    elif room != "s3":
        assert not roots & STORE_SDK
    if package == "history_sink_agents":
        assert not roots & {"history_sink_worker", *QUEUE}
        assert {each for each in MODULES[package][name] if each.partition(".")[0] == "history_sink"} <= PUBLIC


@pytest.mark.parametrize("name", MODULES["history_sink"])
def test_what_two_programs_share_and_the_ledger_are_pure(name: str) -> None:
    imports, room = MODULES["history_sink"][name], room_of(name)
    own = {each for each in imports if each.startswith("history_sink.")}
    if room == "protocol":
        assert all(each == "history_sink.errors" or room_of(each) == "protocol" for each in own)
        assert not imports & {"threading", "time", "asyncio"}
    if room == "ledger":
        assert not imports & {"threading", "time", "asyncio", "socket", "os"}


@pytest.mark.parametrize("name", MODULES["history_sink_worker"])
def test_the_worker_knows_the_protocol_and_the_errors_alone(name: str) -> None:
    for each in MODULES["history_sink_worker"][name]:
        if each.split(".")[0] == "history_sink":
            assert each == "history_sink.errors" or each.startswith("history_sink.protocol.")


def test_the_drawing_in_the_architecture_shows_every_room() -> None:
    drawn = re.findall(r"^    ([a-z0-9_]+)/ ", (REPOSITORY / "ARCHITECTURE.md").read_text(), re.MULTILINE)
    assert sorted(drawn) == sorted(room for rooms in ROOMS.values() for room in rooms)
