"""Many runs: hunt, litmus, museum, knockout, mutate."""

import os
from functools import cache
from pathlib import Path
from typing import Annotated

import typer

from sim.cli.exits import BAD_INPUT, VIOLATED
from sim.cli.options import (
    LAST,
    LONG,
    AsJson,
    Assignments,
    Cores,
    Engine,
    Html,
    Memory,
    NoVcd,
    Patience,
    Preset,
    Processes,
    Protocol,
    Resume,
    Scenario,
    ThisProtocol,
    Visits,
    Without,
    assignments_of,
    defect_names,
    print_json,
    scenario_names,
)
from sim.cli.runs import remark
from sim.console import note, status
from sim.engines import check_engine
from sim.errors import InputError
from sim.texts import count

__all__ = ["commands"]

commands = typer.Typer()


@commands.command(short_help="Run a scenario under thousands of schedules, and explain the violations.",
                  epilog="Example: crosscall hunt many --seconds 60")
def hunt(
    scenario: Scenario,
    protocol: Protocol = None,
    cores: Cores = None,
    preset: Preset = None,
    assignments: Assignments = None,
    memory: Memory = None,
    without: Without = None,
    runs: Annotated[int | None, typer.Option(
        min=1, help="Number of schedules. The default is 20,000, or no limit with --seconds.")] = None,
    seconds: Annotated[float | None, typer.Option(min=0, max=LONG, help="Stop after this many seconds.")] = None,
    first: Annotated[int | None, typer.Option(min=0, max=LAST, help="Number of the first schedule.  [default: 0]")] = None,
    patience: Patience = None,
    visits: Visits = None,
    ignore: Annotated[list[str] | None, typer.Option(metavar="FLAG|ORACLE", help="Ignore this finding. May be repeated.")] = None,
    oracles: Annotated[bool, typer.Option("--oracles", help="Judge every run by the oracles as well as by the Monitor. Slow.")]
    = False,
    engine: Engine = None,
    processes: Processes = None,
    cluster: Annotated[str | None, typer.Option(metavar="local|tcp://HOST:PORT", help="Use the workers of a Dask scheduler. "
                                                "local starts one on this machine.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the hunt recorded in --out. Its runs count.")] = False,
    out: Annotated[Path, typer.Option(help="Folder for the schedules of findings and for the notebook.")] = Path("waves"),
    html: Html = False,
    as_json: AsJson = False,
):
    """Run a scenario under thousands of schedules. Explain the first violation of each kind, and write its schedule for `replay`.

    A schedule holds back cores, store buffers, interrupts and messages. Exit code 0: nothing was found. 1: something was found.
    2: bad input. 130: interrupted; --resume continues.
    """
    from sim.hunt.hunt import Hunt
    from sim.report.hunt import print_finding, print_report
    from sim.runs.prepare import prepare

    check_engine(engine)
    if resume and first is not None:
        raise InputError("--resume continues where the notebook ends, and --first starts another hunt: give only one of them")
    prepared = prepare(scenario, protocol=protocol, cores=cores, preset=preset, assignments=assignments_of(assignments, memory),
                       without=without or (), patience=patience, visits=visits)
    with status() as show:
        this = Hunt(prepared, ignore=ignore or (), oracles=oracles, out=out, engine=engine, processes=processes, cluster=cluster,
                    tell=note, found=(lambda finding: None) if as_json else print_finding,
                    progress=lambda runs, clocks, past, workers: show(f"{count(runs, 'schedule')}, {count(clocks, 'clock')}, "
                                                                      f"{past:.0f} s, {workers} at work"))
        remark(prepared)
        report = this.run(runs=runs, first=first or 0, seconds=seconds, resume=resume)
    if html:
        from sim.report.campaign_page import write_hunt_page
        page = this.notebook.with_suffix(".html")
        write_hunt_page(page, prepared, report, engine)
        note(f"the page is {page}")
    if as_json:
        print_json(report.to_json())
    else:
        print_report(report, this.notebook)
    if report.violations or report.disagreements:
        raise typer.Exit(VIOLATED)


@commands.command(short_help="Run litmus tests, and judge their final states.", epilog="Example: crosscall litmus --memory tso")
def litmus(
    paths: Annotated[list[Path] | None, typer.Argument(
        metavar="PATH", help="Files, folders of .litmus tests, or @ index files. The default is the shipped tests.")] = None,
    memory: Annotated[str, typer.Option(metavar="sc|tso|pso", help="The memory model of the machine.")] = "tso",
    runs: Annotated[int, typer.Option(min=1, help="Runs of each test.")] = 200,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the schedules.")] = 0,
    expected: Annotated[Path | None, typer.Option(metavar="FILE.csv", help="File of verdicts to compare with.")] = None,
    engine: Engine = None,
    processes: Processes = None,
    resume: Resume = False,
    out: Annotated[Path, typer.Option(help="Folder for the waves of a forbidden outcome.")] = Path("waves"),
    html: Html = False,
    as_json: AsJson = False,
):
    """Run litmus tests on the machine and judge the results.

    Without --expected, the memory model decides which final states are allowed. Exit code 0: nothing forbidden was seen.
    1: a forbidden outcome was seen. 2: bad input; the other files are run. 130: interrupted; --resume continues.
    """
    from sim.litmus.command import show

    check_engine(engine)
    if html:
        from sim.report.page import check_charts
        check_charts()
    # The machines of tests with more threads are made like the first one; its remarks are printed once.
    once = cache(note)
    report = show(paths or [], memory=memory, runs=runs, seed=seed, expected=expected, out=out, as_json=as_json,
                  processes=processes, resume=resume, engine=engine, note=once)
    if html:
        from sim.report.campaign_page import write_litmus_page
        write_litmus_page(out / "litmus.html", report.to_json())
        note(f"the page is {out / 'litmus.html'}")
    if report.forbidden or report.refused:
        raise typer.Exit(VIOLATED if report.forbidden else BAD_INPUT)


@commands.command(short_help="Show each defect of the protocol's history, and which generations have it.",
                  epilog="Example: crosscall museum early-return")
def museum(
    names: Annotated[list[str] | None, typer.Argument(metavar="DEFECT", help="The defects to show. The default is all.",
                                                      autocompletion=defect_names)] = None,
    protocol: Annotated[list[str] | None, typer.Option(metavar="NAME|FILE.uasm", help="Only this protocol. May be repeated. "
                                                       "[default: the generations that each defect names]")] = None,
    runs: Annotated[int, typer.Option(min=0, help="Maximum number of schedules for each defect and protocol.")] = 1000,
    processes: Processes = None,
    out: Annotated[Path, typer.Option(help="Folder for the waves.")] = Path("waves/museum"),
    no_vcd: NoVcd = False,
    html: Html = False,
    as_json: AsJson = False,
):
    """Look for each defect of the protocol's history, in the generations that have it and in those that do not.

    Exit code 0: each defect is found where it is known to be, and nowhere else. 1: otherwise. 2: bad input.
    """
    from sim.museum.museum import exhibits, show
    from sim.report.museum import print_museum, print_row

    shown = exhibits(tuple(names or ()), tuple(protocol or ()))
    with status() as tell:
        def progress(row, done):
            tell(f"{done} of {len(shown)}: {row.exhibit.defect.name}, {row.exhibit.what}")
            if not as_json:
                print_row(row)

        tell(f"0 of {len(shown)}")
        rows = show(shown, runs=runs, out=None if no_vcd else out, processes=processes or len(os.sched_getaffinity(0)),
                    progress=progress)
    found = [row.to_json() for row in rows]
    if html:
        from sim.report.campaign_page import write_museum_page
        write_museum_page(out / "museum.html", found)
        note(f"the page is {out / 'museum.html'}")
    if as_json:
        print_json(found)
    else:
        print_museum(rows)
    if not all(row.as_expected for row in rows):
        raise typer.Exit(VIOLATED)


@commands.command(short_help="Leave out each barrier and lock, and see which are needed.",
                  epilog="Example: crosscall knockout --protocol v4 many --memory tso")
def knockout(
    protocol: ThisProtocol,
    scenarios: Annotated[list[str] | None, typer.Argument(
        metavar="SCENARIO|FILE.toml", help="Scenarios to run. The default is a set that uses every path.",
        autocompletion=scenario_names)] = None,
    memory: Annotated[list[str] | None, typer.Option(metavar="sc|tso|pso", help="Only this memory model. May be repeated.")] = None,
    runs: Annotated[int, typer.Option(min=0, help="Number of schedules of each scenario.")] = 100,
    judged: Annotated[int, typer.Option(min=0, help="How many of them the oracles judge if the Monitor finds nothing.")] = 16,
    cores: Cores = None,
    assignments: Annotated[list[str] | None, typer.Option(
        "--set", metavar="KEY=VALUE", help="Set a field of the machine, a strap, or define.NAME. May be repeated.  "
        "[default: x2apic=1, store_buffer_depth=8]")] = None,
    only: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Only this barrier or lock. May be repeated.")] = None,
    pairs: Annotated[bool, typer.Option("--pairs", help="Also leave out pairs of those that are not needed alone.")] = False,
    processes: Processes = None,
    out: Annotated[Path, typer.Option(help="Folder for the waves of the shortest run of each finding.")] = Path("waves/knockout"),
    no_vcd: NoVcd = False,
    html: Html = False,
    as_json: AsJson = False,
):
    """Leave out each named barrier and lock of a protocol in turn. Report violations that occur only without it.

    A violation counts if the complete protocol does not show it in the same scenario, under the same or a stronger memory model.
    The shortest run that shows it is written as waves. A barrier that does nothing under a memory model is not run (0 runs).

    Exit code 0, whatever is found. 2: bad input.
    """
    from sim.knockout.knockout import MODELS, Knockout
    from sim.report.knockout import print_knockout

    for model in memory or ():
        if model not in MODELS:
            raise InputError(f"--memory {model}: must be one of {', '.join(MODELS)}")
    this = Knockout(protocol, scenarios=tuple(scenarios or ()), only=tuple(only or ()), memory=memory or MODELS, cores=cores,
                    assignments=tuple(assignments or ()))
    with status() as tell:
        rows = this.run(runs=runs, judged=judged, pairs=pairs, processes=processes or len(os.sched_getaffinity(0)),
                        out=None if no_vcd else out, progress=lambda done, of, what: tell(f"{done} of {of}: {what}"))
    found = [row.to_json() for row in rows]
    if html:
        from sim.report.campaign_page import write_knockout_page
        page = out / f"{this.protocol}.html"
        write_knockout_page(page, this, found)
        note(f"the page is {page}")
    if as_json:
        for scenario, why in this.skipped.items():
            note(f"not {scenario}: {why}")
        print_json(found)
    else:
        print_knockout(this, rows, runs)


@commands.command(short_help="Put single faults into a protocol, and see which ones are found.",
                  epilog="Example: crosscall mutate --protocol v4 --runs 64")
def mutate(
    protocol: ThisProtocol,
    runs: Annotated[int, typer.Option(min=1, help="Number of schedules of each scenario for each mutant.")] = 512,
    scenario: Annotated[list[str] | None, typer.Option(metavar="NAME|FILE.toml", help="Only this scenario. May be repeated. "
                                                       "[default: all shipped scenarios that the protocol can run]")] = None,
    only: Annotated[str | None, typer.Option(
        metavar="TEXT", help="Only mutants with this text in their name, line or routine.")] = None,
    boot: Annotated[bool, typer.Option("--boot", help="Also put faults into power-up and hotplug.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="Also try the mutants that are explained as equivalent.")] = False,
    sample: Annotated[int | None, typer.Option(min=1, metavar="N", help="Only N mutants, chosen at random. With --all, also from "
                                               "explained ones.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the choice that --sample makes.")] = 0,
    first: Annotated[int, typer.Option(min=0, help="Number of the first schedule.")] = 0,
    processes: Processes = None,
    resume: Resume = False,
    out: Annotated[Path, typer.Option(help="Folder for the notebook.")] = Path("waves"),
    as_json: AsJson = False,
):
    """Put single faults into a protocol, and see which of them the scenarios and short hunts find.

    Exit code 0: all, except those that are explained as equivalent. 1: a fault is not found, or a mutant that is explained as
    equivalent is found. 2: bad input. 130: interrupted; --resume continues.
    """
    from sim.mutate.campaign import Campaign
    from sim.report.mutate import print_campaign

    with status() as show:
        campaign = Campaign(protocol, scenarios=tuple(scenario or ()), runs=runs, first=first, boot=boot, only=only,
                            everything=everything, sample=sample, seed=seed, out=out, processes=processes,
                            progress=lambda done, of, killed, past: show(f"{done} of {count(of, 'mutant')}, {killed} killed, "
                                                                         f"{past:.0f} s"))
        report = campaign.run(resume=resume)
    if as_json:
        print_json(report.to_json())
    else:
        print_campaign(report, campaign.notebook)
    if report.survivors or report.contradictions:
        raise typer.Exit(VIOLATED)
