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
from sim.engines.spec import EngineSpec
from sim.errors import MissingToolError
from sim.microcode.protocols import barriers_and_locks
from sim.runs.plan import Plan
from sim.runs.prepare import prepare
from sim.runs.run import run

__all__ = ["OWN", "SCENARIOS", "holding", "main", "violated"]

#: Between them: both handlers, every way of sending, csds that are used again at once, and several senders at a time.
SCENARIOS = ("many", "single", "storm", "reuse")
#: v4's own defects, which a few schedules may not show: see the scenarios `early-return` and `two-senders`.
OWN = {"O1", "O12"}
#: A deep buffer shows more: a store that is left behind in it is not pushed out by those that follow.
_DEPTH = 8
#: Each covers for the other, so they are left out together, too. The second one stands in x2APIC mode only.
_PAIR = ("smp_mb_before_ipi", "x2apic_fence")
_X2APIC_ONLY = _PAIR[1]
_MODES = ("xapic", "x2apic")
_MEMORY = tuple(model.name.lower() for model in MemoryModel)


def holding(number):
    """The plan of run ``number``: drains are held for longer or shorter, and now and then a core stalls."""
    chance = random.Random(number)
    return Plan(kind=ScheduleKind.BOUNDED, seed=chance.getrandbits(32), hold_drain=chance.choice((8, 20, 40, 64)),
                stall=chance.choice((0, 0, 2, 8)), hold_message=chance.choice((0, 0, 4)), delay=chance.choice((4, 6, 8, 9)))


@cache
def _engine(config):
    return EngineSpec(config, "compiled").make()


def violated(scenario, *, memory, mode, without=(), numbers):
    """Oracle -> in how many of the runs with these numbers it is violated."""
    assignments = (f"memory_model={_MEMORY.index(memory)}", f"x2apic={_MODES.index(mode)}", f"store_buffer_depth={_DEPTH}")
    prepared = prepare(scenario, protocol="v4", assignments=assignments, without=without)
    counts = Counter()
    for number in numbers:
        result = run(prepared.under(plan=holding(number)), engine=_engine(prepared.run.config))
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
    parser.add_argument("--runs", type=int, default=50, help="schedules of each scenario")
    parser.add_argument("--mode", choices=_MODES, default="x2apic", help="of the local APICs")
    chosen = parser.parse_args(arguments)
    try:
        own = OWN | {oracle for memory in _MEMORY for scenario in SCENARIOS
                     for oracle in violated(scenario, memory=memory, mode=chosen.mode, numbers=range(chosen.runs))}
        names = [name for name in barriers_and_locks("v4") if chosen.mode == "x2apic" or name != _X2APIC_ONLY]
        print(f"Protocol v4 in {chosen.mode} mode, store buffers of {_DEPTH}, {chosen.runs} schedules of each of "
              f"{', '.join(SCENARIOS)}: in how many of them an oracle is violated.")
        print(f"Not counted, because v4 does so by itself: {', '.join(sorted(own)) or 'none'}.\n")
        print(f"| left out | {' | '.join(_MEMORY)} |\n|---|{'---|' * len(_MEMORY)}", flush=True)
        pairs = [_PAIR] if _X2APIC_ONLY in names else []
        for without in [*((name,) for name in names), *pairs]:
            cells = [_cell(memory, chosen.mode, without, chosen.runs, own) for memory in _MEMORY]
            print(f"| {' and '.join(f'`{name}`' for name in without)} | {' | '.join(cells)} |", flush=True)
    except MissingToolError as error:
        print(f"crosscall: {error}", file=sys.stderr)
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
