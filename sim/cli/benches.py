"""Measurements: bench speed, bench latency."""

from pathlib import Path
from typing import Annotated

import typer

from sim.cli.exits import VIOLATED
from sim.cli.options import LONG, AsJson, Assignments, Engine, Html, Out, Seed, numbers_of, print_json
from sim.console import note, status
from sim.engines import check_engine

__all__ = ["commands"]

commands = typer.Typer()
bench = typer.Typer(no_args_is_help=True)
commands.add_typer(bench, name="bench", short_help="Measure the speed of the engines, or the latency of calls.",
                   help="Measure the speed of the engines, or how the latency of calls grows.",
                   epilog="Example: crosscall bench speed")


@bench.command(short_help="Measure the speed of the engines on one workload.",
               epilog="Example: crosscall bench speed --cores 4 --html")
def speed(
    cores: Annotated[str, typer.Option(metavar="N,...", help="Numbers of cores to measure.")] = "1,4",
    engines: Annotated[str | None, typer.Option(metavar="NAME,...", help="Only these engines.")] = None,
    seconds: Annotated[float, typer.Option(min=0.1, max=LONG, help="Processor time for each row.")] = 2.0,
    out: Annotated[Path, typer.Option(help="Folder for the page.")] = Path("waves"),
    html: Html = False,
    as_json: AsJson = False,
):
    """Measure the speed of the engines on one workload, and check that their results agree.

    Verilator takes minutes to build a machine with many cores; builds are cached. Exit code 1: two engines disagree.
    """
    from sim.bench.speed import CONTENDERS, bench_speed
    from sim.report.page import check_charts
    from sim.report.speed import SpeedTable, write_speed_page
    from sim.report.table import report_console

    chosen = list(CONTENDERS) if engines is None else engines.split(",")
    for name in chosen:
        check_engine(name, CONTENDERS)
    if html:
        check_charts()
    table, so_far = SpeedTable(report_console()), {"rows": []}

    def done(result):
        so_far.update(result)
        if not as_json:
            table.show(result)

    def write():
        if html and so_far["rows"]:
            page = out / "speed.html"
            write_speed_page(page, so_far)
            note(f"the page is {page}")

    try:
        with status() as show:
            result = bench_speed(numbers_of(cores, "--cores"), engines=chosen, seconds=seconds, progress=show, tell=note, done=done)
    except KeyboardInterrupt:
        # Finished rows are kept; as a table they are printed already.
        write()
        if as_json:
            print_json(so_far)
        raise
    write()
    if as_json:
        print_json(result)
    else:
        table.finish(result)
    if not all(check["equal"] for check in result["checks"]):
        raise typer.Exit(VIOLATED)


@bench.command(short_help="Measure how a call's latency grows with its targets and callers.",
               epilog="Example: crosscall bench latency --cores 8 --sweep fabric_latency=8,64 --html")
def latency(
    cores: Annotated[str, typer.Option(metavar="N,...", help="Numbers of cores.")] = "8",
    targets: Annotated[str | None, typer.Option(metavar="N,...", help="Numbers of targets of each call. The default is 1, 2, 4 "
                                                "and so on.")] = None,
    callers: Annotated[str | None, typer.Option(metavar="N,...", help="Numbers of cores that call at the same time. The default is "
                                                "1, 2, 4 and so on.")] = None,
    protocol: Annotated[list[str] | None, typer.Option(metavar="NAME|FILE.uasm", help="A shipped protocol, or your own. May be "
                                                       "repeated.  [default: v4]")] = None,
    memory: Annotated[list[str] | None, typer.Option(metavar="sc|tso|pso", help="The memory model. May be repeated.")] = None,
    sweep: Annotated[list[str] | None, typer.Option(metavar="KEY=VALUE,...", help="Values of a field of the machine or a strap: "
                                                    "fabric, fabric_latency and so on. May be repeated.")] = None,
    assignments: Assignments = None,
    calls: Annotated[int, typer.Option(min=1, max=1000, help="Number of calls of each caller.")] = 16,
    seed: Seed = 0,
    engine: Engine = None,
    out: Out = Path("waves"),
    csv: Annotated[bool, typer.Option("--csv", help="Also write the rows as a CSV file.")] = False,
    html: Annotated[bool, typer.Option("--html", help="Also write a page with the curves for a browser.")] = False,
    as_json: AsJson = False,
):
    """Measure the latency of calls at every combination of the values, and judge each run.

    Exit code 0: nothing is violated. 1: a run violates an oracle, or a call does not complete. 2: bad input. 130: interrupted; the
    finished rows are printed and written.
    """
    from sim.bench.latency import bench_latency, points_of
    from sim.report.latency import LatencyReport
    from sim.runs.settings import swept

    check_engine(engine)
    points = points_of(protocols=protocol or ["v4"], memories=memory or [None], settings=swept(sweep or ()),
                       cores=numbers_of(cores, "--cores"), callers=None if callers is None else numbers_of(callers, "--callers"),
                       targets=None if targets is None else numbers_of(targets, "--targets"))
    report = LatencyReport(out, csv=csv, html=html, table=not as_json)

    def finish():
        report.write()
        if as_json:
            print_json(report.to_json())

    try:
        with status() as show:
            bench_latency(points, calls=calls, seed=seed, assignments=assignments or (), engine=engine, progress=show, tell=note,
                          done=report.add)
    except KeyboardInterrupt:
        # Finished rows are kept.
        finish()
        raise
    finish()
    if not all(row["ok"] for row in report.rows):
        raise typer.Exit(VIOLATED)
