"""The command line: `run` starts a worker, and the others are the operator's."""

import click

from history_sink.protocol.dashes import NamedGroup
from history_sink_worker import extra


class _Commands(NamedGroup):
    """Loads its commands when one is asked for: they import what only the extra `worker` installs."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        self._load()
        return super().list_commands(ctx)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name == "run":  # a worker would keep what the others import
            extra.require()
            from history_sink_worker.cli.run import run

            return run
        self._load()
        return super().get_command(ctx, cmd_name)

    def _load(self) -> None:
        extra.require()
        from history_sink_worker.cli.commands import ALL

        for each in ALL:
            self.add_command(each)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="history-sink")
def main() -> None:
    """Look after the archive of history-sink.

    Reads the same CODETETHER_HISTORY_… variables as a worker, and may run beside any number of workers.
    """


if __name__ == "__main__":
    main()
