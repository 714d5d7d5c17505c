"""Arguments that begin with a dash: agents name sessions after paths, such as ``-home-me-project``."""

from collections.abc import Mapping, Sequence
from copy import copy
from difflib import get_close_matches
from typing import Any

import click

INTERRUPTED = 130
"""The exit status of what a Ctrl-C has ended, as shells have it."""


class Named(click.Command):
    """A command whose arguments may begin with a dash.

    What is no option of the command's is a name, except what is written like one of them (``--jsn``): that is told as
    wrong usage. A name that is an option's (``--json``) comes behind ``--``.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, put_names_last(args, self._count_values(ctx)))

    def _count_values(self, ctx: click.Context) -> dict[str, int]:
        """How many words follow each option."""
        options = [each for each in self.get_params(ctx) if isinstance(each, click.Option)]
        return {
            name: 0 if each.is_flag or each.count else each.nargs
            for each in options
            for name in (*each.opts, *each.secondary_opts)
        }


def take_names(command: click.Command) -> click.Command:
    """A command that somebody else has made, with arguments that may begin with a dash. A group stays as it is."""
    if type(command) is click.Command:
        command = copy(command)
        command.__class__ = Named  # it has nothing but another way to read its words
    return command


class NamedGroup(click.Group):
    """A group of such commands."""

    command_class = Named

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that is named. A question that nobody can answer is wrong usage; Ctrl-C ends it in a line."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            click.echo("Interrupted.", err=True)
            raise click.exceptions.Exit(INTERRUPTED) from None
        except click.Abort as error:
            if not isinstance(error.__context__, EOFError):
                raise
            raise click.UsageError("nobody answers the question, so nothing was done; --yes asks nothing") from None


def put_names_last(args: Sequence[str], values: Mapping[str, int]) -> list[str]:
    """`args` with all that is no option, nor an option's value, behind ``--``. `values`: words behind each option."""
    options: list[str] = []
    names: list[str] = []
    left = [*args]
    while left:
        word = left.pop(0)
        if word == "--":
            names += left
            break
        if word in values:
            options += [word, *left[: values[word]]]
            del left[: values[word]]
        elif _is_option(word, values):
            options.append(word)
        else:
            names.append(word)
    return [*options, "--", *names] if names else options


def _is_option(word: str, values: Mapping[str, int]) -> bool:
    if not word.startswith("--"):
        return False
    name = word.partition("=")[0]
    return name in values or bool(get_close_matches(name, values, cutoff=0.75))
