"""Workloads from outside: scftorture and ipibench."""

import random
from pathlib import Path
from typing import Annotated

import typer

from sim.cli.exits import VIOLATED
from sim.cli.options import (
    MOST_CORES,
    AsJson,
    Assignments,
    Engine,
    MaxClocks,
    Memory,
    ThisProtocol,
    Without,
    assignments_of,
    numbers_of,
    print_json,
)
from sim.cli.runs import carry_out
from sim.engines import check_engine

__all__ = ["commands"]

commands = typer.Typer()


@commands.command(short_help="Run the kernel's torture test: random calls that check what they see.",
                  epilog="Example: crosscall scftorture --cores 8 --seed 3 --memory tso")
def scftorture(
    protocol: ThisProtocol = "v4",
    cores: Annotated[int, typer.Option(min=1, max=MOST_CORES, help="Number of cores.")] = 4,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of all random choices. The default is drawn and printed.")] = None,
    calls: Annotated[int, typer.Option(min=1, help="Number of operations of each core.")] = 16,
    weight: Annotated[list[str] | None, typer.Option(metavar="NAME=N", help="Weight of an operation. May be repeated.  "
                                                     "[default: the kernel's]")] = None,
    holdoff: Annotated[int, typer.Option(min=0, help="Clocks before the torture begins.")] = 0,
    stutter: Annotated[int, typer.Option(min=0, help="Clocks of torture, then of rest: a power of two, or 0 for no rest.")] = 0,
    long: Annotated[int, typer.Option(min=0, help="One handler in this many is long; 0: none.")] = 16,
    long_clocks: Annotated[int, typer.Option(min=1, help="Maximum clocks of a long handler.")] = 500,
    onoff: Annotated[int, typer.Option(min=0, help="Clocks between cores going offline or online; 0: all stay online.")] = 0,
    assignments: Assignments = None,
    memory: Memory = None,
    without: Without = None,
    max_clocks: MaxClocks = 1_000_000,
    engine: Engine = None,
    out: Annotated[Path, typer.Option(help="Folder for the scenario.")] = Path("waves"),
    as_json: AsJson = False,
):
    """Run the kernel's scftorture: random calls from every core, whose handlers and callers check what they see.

    The generated scenario is written to a file, for use with run, hunt, diff and knockout.

    Exit code 0: nothing is violated. 1: a check of scftorture fails, an oracle is violated, or a call does not complete. 2: bad
    input.
    """
    from sim.engines.spec import EngineSpec
    from sim.report.workloads import print_torture
    from sim.workloads.scftorture import Torture, summary, weights_of

    check_engine(engine)
    torture = Torture(cores=cores, seed=random.getrandbits(32) if seed is None else seed, calls=calls,
                      weights=weights_of(weight or ()), holdoff=holdoff, stutter=stutter, long=long, long_clocks=long_clocks,
                      onoff=onoff)
    prepared = torture.prepare(out / "scftorture.toml", protocol=protocol, assignments=assignments_of(assignments, memory),
                               without=without or ())
    result = carry_out(prepared.under(max_clocks=max_clocks), EngineSpec(prepared.run.config, engine))
    found = summary(torture, result)
    if as_json:
        print_json(found)
    else:
        print_torture(found, prepared.run.subject.scenario)
    if found["verdict"] != "SUCCESS" or not found["ok"]:
        raise typer.Exit(VIOLATED)


@commands.command(short_help="Measure the cost of a call on an idle machine: self, one, all, all with a lock.",
                  epilog="Example: crosscall ipibench --protocol v6 --cores 2,4,8")
def ipibench(
    protocol: Annotated[list[str] | None, typer.Option(metavar="NAME|FILE.uasm", help="A shipped protocol, or your own. May be "
                                                       "repeated.  [default: v4]")] = None,
    cores: Annotated[str, typer.Option(metavar="N,...", help="Numbers of cores.")] = "4",
    mode: Annotated[list[str] | None, typer.Option(metavar="NAME", help="dry-run, self, normal, broadcast or broadcast-lock. May "
                                                   "be repeated.  [default: all]")] = None,
    iterations: Annotated[int, typer.Option(min=1, max=1000, help="Number of calls in each mode.")] = 20,
    assignments: Assignments = None,
    memory: Memory = None,
    engine: Engine = None,
    out: Annotated[Path, typer.Option(help="Folder for the scenarios.")] = Path("waves"),
    as_json: AsJson = False,
):
    """Run the IPI benchmark of 2017: clocks for each operation until the last target starts the function and the caller returns.

    Exit code 0: all calls returned. 1: a call did not return. 2: bad input.
    """
    from sim.engines.spec import EngineSpec
    from sim.report.workloads import print_bench
    from sim.runs.prepare import ENDLESS
    from sim.workloads.ipibench import Bench, Watch, rows

    check_engine(engine)
    found = []
    for number in numbers_of(cores, "--cores"):
        bench = Bench(number, tuple(mode or ()), iterations)
        for name in protocol or ["v4"]:
            prepared = bench.prepare(out / f"ipibench.{number}.toml", protocol=name,
                                     assignments=assignments_of(assignments, memory))
            watch = Watch()
            result = carry_out(prepared.under(max_clocks=ENDLESS), EngineSpec(prepared.run.config, engine), watch=watch)
            found += rows(bench, watch, result)
    if as_json:
        print_json(found)
    else:
        print_bench(found)
    if not all(row["ok"] for row in found):
        raise typer.Exit(VIOLATED)
