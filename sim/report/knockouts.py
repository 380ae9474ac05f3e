"""Which barrier and lock of a protocol carries weight, under which memory model: ``python -m sim.report.knockouts``
(``make knockouts``).

Each named barrier and lock is left out in turn, and a few scenarios are run under many schedules that hold drains. What an oracle
says then counts, unless it says so with everything in place too, under whatever schedule: those are the protocol's own defects.
"""

import argparse
import random
import sys
from collections import Counter
from functools import cache

from rtl.memory.port import MemoryModel
from rtl.schedule import ScheduleKind
from sim.engines.compiled import CompiledEngine
from sim.errors import MissingToolError
from sim.microcode.assembler import assemble
from sim.microcode.protocols import find_protocol
from sim.run import prepare, run
from sim.schedules import Plan

__all__ = ["SCENARIOS", "holding", "main", "names_of", "violated"]

#: Between them: both handlers, every way of sending, csds that are used again at once, and two senders at a time.
SCENARIOS = ("many", "single", "storm")
_MODES = ("xapic", "x2apic")
_MEMORY = tuple(model.name.lower() for model in MemoryModel)


def names_of(protocol):
    """The named barriers and locks of a protocol, in the order of their first words."""
    image = assemble(find_protocol(protocol), n_cores=4, xlen=16, defines={"X2APIC": 1})
    return sorted(image.names, key=lambda name: min(image.names[name]))


def holding(number):
    """The plan of run ``number``: drains are held for longer or shorter, and now and then a core stalls."""
    chance = random.Random(number)
    return Plan(kind=ScheduleKind.BOUNDED, seed=chance.getrandbits(32), hold_drain=chance.choice((8, 20, 64)),
                stall=chance.choice((0, 0, 2, 8)), hold_message=chance.choice((0, 0, 4)), delay=chance.choice((4, 6, 7, 8)))


@cache
def _engine(config):
    return CompiledEngine(config)


def violated(scenario, *, memory, mode, without=(), numbers):
    """Oracle -> in how many of the runs with these numbers it is violated."""
    assignments = (f"memory_model={_MEMORY.index(memory)}", f"x2apic={_MODES.index(mode)}")
    prepared = prepare(scenario, protocol="v4", assignments=assignments, without=without)
    counts = Counter()
    for number in numbers:
        result = run(prepared, engine=_engine(prepared.settings.config), plan=holding(number))
        counts.update({item.oracle for item in result.violations})
    return counts


def _cell(memory, mode, without, runs, own):
    """What is said beyond ``own``, as text."""
    total = Counter()
    for scenario in SCENARIOS:
        total += violated(scenario, memory=memory, mode=mode, without=without, numbers=range(runs))
    found = {oracle: count for oracle, count in total.items() if oracle not in own}
    return ", ".join(f"{oracle} {count}" for oracle, count in sorted(found.items(), key=lambda item: -item[1])) or "-"


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m sim.report.knockouts", description=__doc__.partition("\n\n")[0])
    parser.add_argument("--runs", type=int, default=100, help="schedules of each scenario")
    parser.add_argument("--mode", choices=_MODES, default="x2apic", help="of the local APICs")
    chosen = parser.parse_args(arguments)
    try:
        own = {oracle for memory in _MEMORY for scenario in SCENARIOS
               for oracle in violated(scenario, memory=memory, mode=chosen.mode, numbers=range(chosen.runs))}
        names = names_of("v4")
        sends = [name for name in ("smp_mb_before_ipi", "x2apic_fence") if name in names]
        print(f"Protocol v4 in {chosen.mode} mode, {chosen.runs} schedules of each of {', '.join(SCENARIOS)}: "
              f"in how many of them an oracle is violated.")
        print(f"Not counted, because v4 does so by itself: {', '.join(sorted(own)) or 'none'}.\n")
        print(f"| left out | {' | '.join(_MEMORY)} |\n|---|{'---|' * len(_MEMORY)}", flush=True)
        for without in [*((name,) for name in names), tuple(sends)]:
            cells = [_cell(memory, chosen.mode, without, chosen.runs, own) for memory in _MEMORY]
            print(f"| {' and '.join(f'`{name}`' for name in without)} | {' | '.join(cells)} |", flush=True)
    except MissingToolError as error:
        print(f"crosscall: {error}", file=sys.stderr)
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
