"""`history-sink-worker run`: a worker, by Celery's own command for one and without the rest of Celery's command line.

`celery -A history_sink_worker worker` does the same. On its way it loads what any of Celery's commands needs, and those
that are installed beside them (Flower, and what its own stand on): 11 MB for as long as the worker lives.
"""

import click


@click.command(
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False, "help_option_names": []}
)
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def run(context: click.Context, options: tuple[str, ...]) -> None:
    """Start a worker. Takes the options of `celery worker`, which --help shows."""
    from celery.bin.base import CLIContext
    from celery.bin.worker import worker

    if "--help" in options:  # without the settings that a worker needs
        click.echo(worker.get_help(click.Context(worker, context.parent, context.info_name)))
        return
    from history_sink_worker import app

    whole = CLIContext(app=app, no_color=False, workdir=None)
    with worker.make_context(context.info_name, [*options], parent=context, obj=whole) as started:
        if started.params["detach"]:  # it would start `python -m celery` with the words of this command
            raise click.UsageError("--detach is for: celery -A history_sink_worker worker")
        worker.invoke(started)
