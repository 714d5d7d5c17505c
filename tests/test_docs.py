"""What the pages name is there: modules, folders, and what links lead to."""

import re
import subprocess
from pathlib import Path

import click
import pytest

from history_sink.cli.main import main
from history_sink_worker.cli.main import main as operators

ROOT = Path(__file__).parents[1]
FILES = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
PAGES = [file for file in FILES if file.endswith(".md")]
FOREIGN = {"flowerconfig.py"}
"""Flower would read it."""
PROGRAMS: dict[str, click.Group] = {"history-sink": main, "history-sink-worker": operators}


def is_there(name: str, kept: list[str] = FILES) -> bool:
    return any(f"/{file}".endswith(f"/{name}") for file in kept)


@pytest.mark.parametrize("page", PAGES)
def test_each_link_leads_somewhere(page: str) -> None:
    for link in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", (ROOT / page).read_text()):
        assert (ROOT / page).parent.joinpath(link).exists(), link


@pytest.mark.parametrize("page", [page for page in PAGES if page != "CHANGELOG.md"])  # that tells of what has gone, too
def test_each_module_that_a_page_names_is_there(page: str) -> None:
    for quoted in re.findall(r"`([^`\n]+)`", (ROOT / page).read_text()):
        for name in re.findall(r"(?<![\w./*<>-])(?:\./)?([\w/-]+\.py)\b", quoted):
            assert is_there(name) or name in FOREIGN, name
        for file, word in re.findall(r"pytest (\S+\.py) -k (\w+)", quoted):
            assert re.search(rf"def test_\w*{word}", (ROOT / file).read_text()), quoted


@pytest.mark.parametrize("page", [page for page in PAGES if page.startswith("docs/adr/")])
def test_each_folder_that_a_decision_names_is_there(page: str) -> None:
    folders = [f"{Path(file).parent}/" for file in FILES]
    for name in re.findall(r"`([a-z_]+/)`", (ROOT / page).read_text()):
        assert is_there(name, folders), name


GUIDES = [page for page in PAGES if page == "README.md" or re.fullmatch(r"docs/\w+\.md", page)]


def read_code(page: str) -> str:
    """What a page quotes: in backquotes, indented, or as shell."""
    text = (ROOT / page).read_text()
    quoted = re.findall(r"`([^`\n]+)`|^ {4}(\S[^\n]*)$|^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return "\n".join(map("".join, quoted))


@pytest.mark.parametrize("page", GUIDES)
def test_each_command_that_a_page_names_is_there(page: str) -> None:
    code = read_code(page)
    for program, name in re.findall(r"(?<![\w./-])(history-sink(?:-worker)?) ([a-z][\w-]*)(?!\S)", code):
        if name not in PROGRAMS:  # as in `gemini mcp add history-sink history-sink mcp`
            assert PROGRAMS[program].get_command(click.Context(PROGRAMS[program]), name), f"{program} {name}"


@pytest.mark.parametrize("page", GUIDES)
def test_each_option_that_a_page_gives_a_command_is_there(page: str) -> None:
    code = read_code(page).replace("\\\n", " ")
    for program, line in re.findall(r"(?<![\w./-])(history-sink(?:-worker)?) ([a-z][^\n#|;&)]*)", code):
        command, words = descend(PROGRAMS[program], line.split())
        known = {name for each in command.params for name in (*each.opts, *each.secondary_opts)} | {"--help", "--"}
        given = {word.partition("=")[0].strip(".,[]") for word in words if word.startswith("--")}
        assert given <= known, f"{program} {line}"


def descend(group: click.Group, words: list[str]) -> tuple[click.Command, list[str]]:
    """The command that the words name, and those behind its name."""
    context = click.Context(group)
    if not words or group.get_command(context, words[0]) is None:  # a group's name alone, or prose
        return group, []
    _, command, rest = group.resolve_command(context, words)
    assert command is not None
    return descend(command, rest) if isinstance(command, click.Group) else (command, rest)
