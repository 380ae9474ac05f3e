"""What is available: list, asm, doctor."""

from typing import Annotated

import typer

from sim.cli.options import MOST_CORES, AsJson, print_json, protocol_names
from sim.errors import InputError
from sim.spelling import closest

__all__ = ["commands"]

commands = typer.Typer()


@commands.command("list", short_help="List the scenarios, protocols, presets and settings.",
                  epilog="Example: crosscall list")
def list_(
    what: Annotated[str | None, typer.Argument(metavar="boards", help="List only the boards.")] = None,
    as_json: AsJson = False,
):
    """List the scenarios with the verdicts that they expect, the protocols, the presets, and what --set accepts.

    With "boards", list the boards, and say why a board cannot be used.
    """
    from sim.report.catalogue import catalogue, print_catalogue

    if what == "boards":
        from sim.boards.boards import all_boards
        from sim.report.board import print_boards
        boards = [item.to_json() for item in all_boards()]
        print_json(boards) if as_json else print_boards(boards)
    elif what is not None:
        raise InputError(f'there is no list of "{what}"{closest(what, ["boards"])} (there is: boards)')
    elif as_json:
        print_json(catalogue())
    else:
        print_catalogue(catalogue())


@commands.command(epilog="Example: crosscall asm mine.uasm")
def asm(
    file: Annotated[str, typer.Argument(metavar="FILE.uasm|NAME", help="A protocol: your own file, or a shipped one.",
                                        autocompletion=protocol_names)],
    cores: Annotated[int, typer.Option(min=1, max=MOST_CORES, help="Number of cores to assemble for.")] = 4,
    define: Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help="Define a constant. May be repeated.")] = None,
    as_json: AsJson = False,
):
    """Assemble a protocol and print its listing."""
    from rtl.config import MachineConfig
    from sim.microcode.assembler import assemble
    from sim.microcode.listing import listing
    from sim.microcode.protocols import find_protocol
    from sim.runs.settings import constants

    xlen = MachineConfig().with_cores(cores).xlen
    image = assemble(find_protocol(file), n_cores=cores, xlen=xlen, defines=constants(define or (), "--define"))
    if not image.words:
        raise InputError("there is no word of microcode in it", file=image.path)
    if as_json:
        from sim.microcode.summary import summary
        print_json(summary(image))
    else:
        print(listing(image))


@commands.command(short_help="Show which tools are installed, and how to install the others.", epilog="Example: crosscall doctor")
def doctor(as_json: AsJson = False):
    """Check the compiler, the engines, Verilator, Yosys, the viewers and the cache. For each missing part, print the command that
    installs it."""
    from sim.report.doctor import examine

    rows = examine()
    if as_json:
        print_json({"parts": rows})
        return
    for row in rows:
        print(f"{row['name']:<11}{'ok      ' if row['ok'] else 'missing '} {row['what']}")
        if row["fix"]:
            print(f"{'':20}{row['fix']}")
