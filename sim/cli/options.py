"""The options that several commands share, and the values that they accept."""

import json
from pathlib import Path
from typing import Annotated

import typer

from sim.errors import InputError

__all__ = [
    "LAST", "LONG", "MOST_CORES", "AsJson", "Assignments", "Cores", "Engine", "Everything", "FieldAssignments", "Fst", "Html",
    "Limit", "MaxClocks", "Memory", "NoVcd", "Out", "Patience", "Perfetto", "Preset", "Processes", "Protocol", "Resume", "Scenario",
    "Seed", "ThisProtocol", "Visits", "Window", "Without", "assignments_of", "defect_names", "numbers_of", "print_json",
    "protocol_names", "scenario_names",
]

#: ``MachineConfig.MAX_CORES``; help and usage must not wait for its import.
MOST_CORES = 64
#: The largest number of a first schedule: a notebook has room for it and those after it.
LAST = 1 << 62
#: The longest time, in seconds.
LONG = 1e9


def _completing(names):
    """What a shell shows for the beginning of a name. names : gives them; called only then, as it takes an import of a second."""
    def complete(incomplete: str):
        return [name for name in names() if name.startswith(incomplete)]
    return complete


@_completing
def scenario_names():
    from sim.scenarios.reader import shipped_scenarios
    return shipped_scenarios()


@_completing
def protocol_names():
    from sim.microcode.protocols import shipped_protocols
    return shipped_protocols()


@_completing
def defect_names():
    from sim.museum.museum import shipped_defects
    return shipped_defects()


# What to run.
Scenario = Annotated[str, typer.Argument(metavar="NAME|FILE.toml", help="A shipped scenario, or your own file.",
                                         autocompletion=scenario_names)]
Protocol = Annotated[str | None, typer.Option(metavar="NAME|FILE.uasm", help="The default is the scenario's.",
                                              autocompletion=protocol_names)]
ThisProtocol = Annotated[str, typer.Option(metavar="NAME|FILE.uasm", help="A shipped protocol, or your own.",
                                           autocompletion=protocol_names)]
Without = Annotated[list[str] | None, typer.Option(
    metavar="NAME", help="Leave out a named barrier or lock; `crosscall asm` lists them. May be repeated.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of the scenario's random numbers.")]

# On which machine.
Cores = Annotated[int | None, typer.Option(min=1, max=MOST_CORES, help="Number of cores. The default is the scenario's.")]
Preset = Annotated[str | None, typer.Option(help="The preset of the machine: tiny, default or wide.")]
Assignments = Annotated[list[str] | None, typer.Option(
    "--set", metavar="KEY=VALUE", help="Set a field of the machine, a strap, or define.NAME. May be repeated.")]
FieldAssignments = Annotated[list[str] | None, typer.Option(
    "--set", metavar="FIELD=VALUE", help="Set a field of the machine. May be repeated.")]
Memory = Annotated[str | None, typer.Option(metavar="sc|tso|pso", help="The memory model; short for --set memory_model=0, 1, 2.")]
Holds = Annotated[list[str] | None, typer.Option("--hold", metavar="'CORE at PLACE until CORE at PLACE'", help="Hold a core at a "
                                                 "place in the microcode until another one has come somewhere. May be repeated.")]
Engine = Annotated[str | None, typer.Option(metavar="NAME", help="compiled (the default if there is a C compiler), pysim, "
                                             "or verilator.")]
Processes = Annotated[int | None, typer.Option(min=1, max=128, help="Number of processes. The default is one per CPU.")]

# For how long.
MaxClocks = Annotated[int, typer.Option(min=1, help="End the run after this many clocks.")]
Limit = Annotated[int | None, typer.Option("--max-clocks", min=1, help="End the run after this many clocks. The default "
                                           "is 100,000; with more than 8 cores more: 400,000 with 16, 1,600,000 with 32.")]
Patience = Annotated[int | None, typer.Option(min=1, metavar="CLOCKS", help="A run is stuck after this many clocks without "
                                               "progress. The default depends on the scenario's delays.")]
Visits = Annotated[int | None, typer.Option(min=1, help="How many entries a handler may look at (the bound of "
                                             "oracle O10). The default is 16 for each core.")]
Resume = Annotated[bool, typer.Option("--resume", help="Continue the interrupted command recorded in --out.")]

# What to write and print.
Out = Annotated[Path, typer.Option(help="Folder for the files.")]
Window = Annotated[str, typer.Option(metavar="A:B", help="The clocks in the waves: A and later, before B. auto: all clocks; "
                                     "in a run of more than 100,000, those around the first violation.")]
NoVcd = Annotated[bool, typer.Option("--no-vcd", help="Write no waves.")]
Html = Annotated[bool, typer.Option("--html", help="Also write a page for a browser.")]
Fst = Annotated[bool, typer.Option("--fst", help="Also write the waves as FST, a tenth of the VCD's size.")]
Perfetto = Annotated[bool, typer.Option("--perfetto", help="Also write a trace for ui.perfetto.dev.")]
Everything = Annotated[bool, typer.Option("--all", help="Show every oracle on its own line.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object, or one list of rows, and nothing else.")]


def numbers_of(text, option):
    """``1,4,16`` -> numbers of cores."""
    try:
        numbers = [int(word) for word in text.split(",")]
    except ValueError:
        numbers = []
    if not numbers or not all(1 <= number <= MOST_CORES for number in numbers):
        raise InputError(f"{option} {text}: must be numbers from 1 to {MOST_CORES}, with commas between them")
    return numbers


def assignments_of(assignments, memory):
    """What ``--set`` and ``--memory`` set together."""
    from sim.runs.settings import memory_assignment

    for text in assignments or () if memory is not None else ():
        if text.partition("=")[0].strip() == "memory_model":
            raise InputError(f"--set {text}: --memory {memory} sets it, too: give only one of them")
    return (*(assignments or ()), *([memory_assignment(memory)] if memory is not None else ()))


def print_json(value):
    print(json.dumps(value, indent=2))
