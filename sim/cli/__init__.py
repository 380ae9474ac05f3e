"""The ``crosscall`` command. Each family of commands has a module. A command imports heavy modules itself, so that help is
quick.
"""

import sys
from typing import Annotated

import typer

from sim.cli import benches, campaigns, catalogues, hardware, runs, workloads
from sim.cli.exits import CRASHED, Group, interrupted
from sim.cli.options import MOST_CORES
from sim.interruption import settle, unwind

__all__ = ["CRASHED", "MOST_CORES", "app", "main"]

app = typer.Typer(cls=Group, no_args_is_help=True, rich_markup_mode=None,
                  pretty_exceptions_enable=False, context_settings={"max_content_width": 120},
                  help="Simulate a multi-core machine, clock by clock, while one core calls a function on the others: Linux's "
                  "smp_call_function().")
# In the order of `crosscall --help`.
for family in (runs, campaigns, workloads, benches, catalogues, hardware):
    app.add_typer(family.commands)


def main():
    """Run the command; called after everything is imported (``sim.__main__``)."""
    unwind()
    try:
        app()
    except KeyboardInterrupt as error:
        sys.exit(interrupted(error))
    finally:
        settle()


def _version(wanted: bool):
    if wanted:
        from importlib.metadata import version
        print(f"crosscall {version('crosscall')}")
        raise typer.Exit


@app.callback()
def _crosscall(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False,
):
    pass
