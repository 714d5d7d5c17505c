"""`history-sink redact`: what would be taken out of a file, by rule and place, and never the value."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import IO

import click


@click.command()
@click.argument("files", type=click.File("rb"), nargs=-1, required=True, metavar="FILE...")
@click.option("--json", "as_json", is_flag=True, help="For programs: one JSON object a line on stdout.")
@click.option("--rules", "shows_rules", is_flag=True, help="Say on stderr which rules they are, too.")
@click.option("--write", is_flag=True, help="Write the redacted lines of one FILE to stdout instead.")
def redact(files: tuple[IO[bytes], ...], as_json: bool, shows_rules: bool, write: bool) -> None:
    """Show which secrets redaction would take out of transcripts. A dry run: sends and changes nothing.

    A FILE is JSONL; - is stdin. For each string with a secret: its line and path, and how often which rule applies. The
    secrets themselves are not shown. Exact values are those of this process's environment;
    CODETETHER_HISTORY_REDACT_FILE names patterns of your own, and exceptions. To have each save redacted, set
    CODETETHER_HISTORY_FILTERS=redact.
    """
    from history_sink_agents.redaction.configuration import make_filter
    from history_sink_agents.redaction.places import find_places

    if write and len(files) != 1:
        raise click.UsageError("--write takes one FILE")
    redaction = make_filter()
    if shows_rules:
        click.echo(f"rules {redaction.rules}", err=True)
    total: Counter[str] = Counter()
    lines = 0
    for file in files:
        for number, line in enumerate(_lines(file), 1):
            lines += 1
            after = redaction(line)
            if write:
                click.echo(after + b"\n", nl=False)
            counts = dict(getattr(after, "counts", {}))
            total.update(counts)
            if counts and not write:
                for path, found in find_places(line, after):
                    _tell(file.name, number, path, found, as_json)
    click.echo(f"{lines:,} lines looked at; {_describe(total) or 'nothing'} would go", err=True)


def _lines(file: IO[bytes]) -> Iterator[bytes]:
    return (line.removesuffix(b"\n") for line in file)


def _tell(name: str, number: int, path: str, counts: Mapping[str, int], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"file": name, "line": number, "path": path, "rules": counts}))
    else:
        click.echo(f"{name}:{number}: {f'{path}: ' if path else ''}{_describe(counts)}")


def _describe(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{number} {rule}" for rule, number in sorted(counts.items()))
