"""Runs: run, replay, diff; and their results: report, view."""

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from sim.cli.exits import VIOLATED
from sim.cli.options import (
    AsJson,
    Assignments,
    Cores,
    Engine,
    Everything,
    Fst,
    Holds,
    Html,
    Limit,
    Memory,
    NoVcd,
    Out,
    Patience,
    Perfetto,
    Preset,
    Protocol,
    Scenario,
    Seed,
    Visits,
    Window,
    Without,
    assignments_of,
    print_json,
    protocol_names,
    scenario_names,
)
from sim.console import note, status
from sim.engines import check_engine
from sim.errors import InputError, MissingToolError
from sim.texts import count

__all__ = ["carry_out", "commands", "remark"]

commands = typer.Typer()


@commands.command(epilog="Example: crosscall run storm --cores 8 --seed 3")
def run(
    scenario: Scenario = "demo",
    protocol: Protocol = None,
    cores: Cores = None,
    preset: Preset = None,
    assignments: Assignments = None,
    memory: Memory = None,
    without: Without = None,
    seed: Seed = 0,
    max_clocks: Limit = None,
    patience: Patience = None,
    visits: Visits = None,
    fault: Annotated[str | None, typer.Option(metavar="drop|twice|late:CORE:NUMBER[:CLOCKS]", help="Lose, repeat or delay one "
                                              "interrupt: number NUMBER, counted from 0, of those that CORE sends.")] = None,
    hold: Holds = None,
    engine: Engine = None,
    window: Window = "auto",
    out: Out = Path("waves"),
    no_vcd: NoVcd = False,
    html: Html = False,
    perfetto: Perfetto = False,
    fst: Fst = False,
    everything: Everything = False,
    as_json: AsJson = False,
):
    """Run a scenario, judge the run, and write its waves.

    Exit code 0: all calls completed and no oracle is violated. 1: an oracle is violated or a call never completes, even if the
    scenario expects it. 2: bad input. 3: a tool is missing.
    """
    from sim.engines.spec import EngineSpec
    from sim.runs.holds import read_holds, with_holds
    from sim.runs.prepare import prepare

    check_engine(engine)
    clocks = _window(window, no_vcd)
    prepared = prepare(scenario, protocol=protocol, cores=cores, preset=preset, assignments=assignments_of(assignments, memory),
                       without=without or (), seed=seed, patience=patience, visits=visits)
    remark(prepared)
    prepared = prepared.under(window=clocks, **({} if max_clocks is None else {"max_clocks": max_clocks}))
    if fault is not None:
        from sim.runs.faults import fault as fields_of
        prepared = prepared.under(plan=replace(prepared.run.plan, **fields_of(fault, prepared.run.config.n_cores)))
    with status() as show:
        prepared = with_holds(prepared, read_holds(prepared, hold or ()), note, show)
    result = carry_out(prepared, EngineSpec(prepared.run.config, engine), out=out, waves=not no_vcd, html=html, perfetto=perfetto,
                       fst=fst)
    if fault is not None:
        plan = prepared.run.plan
        sent = result.facts["interrupts_sent"][plan.fault_source]
        if plan.fault_number >= sent:
            note(f"--fault {fault}: core {plan.fault_source} sends {sent} interrupts, numbered from 0, so nothing went wrong")
    present(result, as_json, everything)


@commands.command(short_help="Repeat a run exactly, with waves.",
                  epilog="Example: crosscall replay waves/many.early_return.schedule")
def replay(
    file: Annotated[Path, typer.Argument(metavar="FILE.schedule", help="A schedule file that `hunt`, `run` or `litmus` wrote.")],
    patience: Patience = None,
    visits: Visits = None,
    engine: Engine = None,
    window: Window = "auto",
    out: Out = Path("waves"),
    no_vcd: NoVcd = False,
    html: Html = False,
    perfetto: Perfetto = False,
    fst: Fst = False,
    everything: Everything = False,
    as_json: AsJson = False,
):
    """Repeat a run exactly, clock for clock, and write its waves. The files have the name of the schedule.

    Exit code 0: no oracle is violated. 1: an oracle is violated or a call never completes. 2: bad input, or the recorded violation
    does not occur.
    """
    from sim.engines.spec import EngineSpec
    from sim.runs.description import OfLitmus
    from sim.runs.prepare import load
    from sim.runs.schedule import read_run

    check_engine(engine)
    clocks = _window(window, no_vcd)
    this = read_run(file)
    limits = {"patience": patience, "visits": visits, "window": clocks}
    this = replace(this, **{name: value for name, value in limits.items() if value is not None})
    if isinstance(this.subject, OfLitmus):
        _repeat_litmus(this, file, engine, None if no_vcd else out, as_json)
    prepared = load(this, file=file, tell=note)
    result = carry_out(prepared, EngineSpec(prepared.run.config, engine, prepared.room), out=out, name=file.stem, waves=not no_vcd,
                        html=html, perfetto=perfetto, fst=fst)
    present(result, as_json, everything, lambda: this.check_violation(result.seen, file=file))


def _window(text, no_vcd):
    """The clocks that ``--window`` chooses, or None."""
    from sim.runs.prepare import window_of

    clocks = window_of(text)
    if clocks is not None and no_vcd:
        raise InputError("--window chooses the clocks in the waves, and --no-vcd writes none: give only one of them")
    return clocks


def _repeat_litmus(this, file, engine, out, as_json):
    """The same for a run of a litmus test."""
    from sim.engines.spec import EngineSpec
    from sim.litmus.run import repeat

    seen = repeat(this, engine=EngineSpec(this.config, engine).make(note), file=file, out=out, name=file.stem, tell=note)
    if as_json:
        print_json(seen)
    else:
        print(f"litmus test {seen['name']}, {count(seen['clocks'], 'clock')}: {seen['shown']}")
        for what, path in seen["files"].items():
            print(f"  {what:<8}{path}")
    this.check_violation({seen["shown"]: seen["clocks"]}, file=file)
    raise typer.Exit(0 if this.violation is None else VIOLATED)


@commands.command(short_help="Run a scenario on two protocols, and compare the runs.",
                  epilog="Example: crosscall diff v4 v2.6.30 many")
def diff(
    left: Annotated[str, typer.Argument(metavar="NAME|FILE.uasm", help="A shipped protocol, or your own.",
                                        autocompletion=protocol_names)],
    right: Annotated[str, typer.Argument(metavar="NAME|FILE.uasm", help="The protocol to compare it with.",
                                         autocompletion=protocol_names)],
    scenario: Annotated[str, typer.Argument(metavar="SCENARIO|FILE.toml", help="A shipped scenario, or your own file.",
                                            autocompletion=scenario_names)] = "demo",
    cores: Cores = None,
    preset: Preset = None,
    assignments: Assignments = None,
    memory: Memory = None,
    seed: Seed = 0,
    hold: Holds = None,
    max_clocks: Limit = None,
    engine: Engine = None,
    as_json: AsJson = False,
):
    """Run a scenario on two protocols. Compare latency and stages of the calls, memory operations, locks, interrupts, verdicts.

    Exit code 0, whatever the verdicts are. 2: bad input.
    """
    from sim.comparison import compare
    from sim.report.diff import print_comparison

    check_engine(engine)
    found = compare(left, right, scenario, cores=cores, preset=preset, assignments=assignments_of(assignments, memory), seed=seed,
                    holds=hold or (), engine=engine, max_clocks=max_clocks, tell=note)
    if as_json:
        print_json(found.to_json())
    else:
        print_comparison(found)


@commands.command(short_help="Print the table of calls of a VCD file.", epilog="Example: crosscall report waves/demo.vcd")
def report(
    file: Annotated[Path, typer.Argument(metavar="FILE.vcd", help="A waveform that crosscall wrote.")],
    html: Annotated[bool, typer.Option("--html", help="Also write the page of the run, beside the VCD.")] = False,
    as_json: AsJson = False,
):
    """Print the calls and the violations of a waveform, from the VCD file alone."""
    from sim.report.vcd import report_of_vcd

    if html:
        from sim.report.page import check_charts
        check_charts()
    found, timeline = report_of_vcd(file)
    calls, violations, since, ending = (found[name] for name in ("calls", "violations", "since", "ending"))
    if html:
        from sim.report.run_page import write_run_page
        page = file.with_suffix(".html")
        write_run_page(page, found, timeline)
        note(f"the page is {page}")
    if since:
        note(f"the waves begin at clock {since}: calls that began before are not known")
    if ending is None:
        note(f"the waves end at clock {found['clocks']}, and the run does not: what happens later is not known")
    if as_json:
        print_json({"file": str(file), "window": [since, found["clocks"]], "ending": ending, "calls": calls,
                    "violations": violations})
    else:
        from sim.report.table import print_calls, report_console
        console = report_console()
        print_calls(calls, console, {call for item in violations for call in item["calls"]}, ending=ending)
        console.print(f"\n{found['verdict']}")
        for item in violations:
            console.print(f"  clock {item['clock']}: {item['oracle']}: {item['sentence']}")


@commands.command(epilog="Example: crosscall view demo")
def view(
    what: Annotated[str, typer.Argument(metavar="NAME|FILE", help="A scenario that was run, or a .gtkw or .vcd file.")] = "demo",
    out: Annotated[Path, typer.Option(help="Folder of the run's files.")] = Path("waves"),
):
    """Open the waves of a run in GTKWave."""
    name = Path(what).name.removesuffix(".toml").removesuffix(".schedule")
    path = Path(what) if what.endswith((".gtkw", ".vcd")) else out / f"{name}.gtkw"
    if not os.path.isfile(path):
        named = path == Path(what)
        raise InputError("is a folder" if os.path.isdir(path) else "there is no such file" if named else
                         f"there is no such file; `crosscall run {what}` writes the waves of a scenario", file=path)
    program = shutil.which("gtkwave")
    if program is None:
        raise MissingToolError(f"GTKWave is not installed. Debian and Ubuntu: apt-get install gtkwave; others: "
                               f"https://gtkwave.github.io/gtkwave/. Then: gtkwave {path}")
    if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise MissingToolError(f"there is no display to open GTKWave on. On a machine that has one: gtkwave {path}")
    raise typer.Exit(subprocess.run([program, str(path)], check=False).returncode)


def carry_out(prepared, spec, *, html=False, perfetto=False, fst=False, **options):
    """The Result of a run; shows its progress and what holds up unfinished calls. spec : EngineSpec.  html, perfetto, fst : also
    write its page, its trace, its waves as FST.  options : of ``sim.runs.run.run``."""
    from sim.diagnosis import causes
    from sim.runs.run import run

    views = None
    if fst and not options.get("waves", True):
        raise InputError("--fst writes the waves as FST, and --no-vcd writes none: give only one of them")
    if html or perfetto or fst:
        from sim.report.views import Views
        views = Views(prepared, html=html, perfetto=perfetto, fst=fst)
        options["watch"] = views.timeline
    with status() as show:
        at_most, engine = prepared.run.max_clocks, spec.make(note)
        result = run(prepared, engine=engine, progress=lambda clock: show(f"clock {clock} (at most {at_most})"), **options)
        result = causes(result, engine, run)
    return views.write(result, options["out"], options.get("name")) if views else result


def remark(prepared):
    """Point out what the scenario probably does not mean."""
    for remark in prepared.scenario.remarks:
        note(f"warning: {remark}")


def present(result, as_json, everything, check=lambda: None):
    """Print the result of a run, and exit with its code. check : raises InputError if it is not the intended run."""
    if as_json:
        print_json(result.to_json())
    else:
        from sim.report.table import print_report, report_console
        print_report(result.to_json(), report_console(), everything=everything)
        for name, model in result.prepared.barriers.items():
            print(f"{name} is a barrier, which does nothing under {result.prepared.settings.memory}: try --memory {model}")
    check()
    if not result.ok:
        raise typer.Exit(VIOLATED)
