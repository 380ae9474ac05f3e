"""A knock-out as text."""

from collections import Counter

from sim.report.table import report_console
from sim.texts import count

__all__ = ["print_knockout", "summary"]


def print_knockout(knockout, rows, runs):
    """What was found without each name, under each memory model, and how often; the shortest run of each; what never mattered.

    rows : all Rows of a Knockout with this many runs.
    """
    console = report_console()
    mode = "x2APIC" if knockout.straps.x2apic else "xAPIC"
    console.print(f"Protocol {knockout.protocol} in {mode} mode, store buffers of {knockout.config.store_buffer_depth}; of "
                  f"{', '.join(knockout.scenarios)}: the plain run and {count(runs, 'schedule')} of each.")
    for scenario, why in knockout.skipped.items():
        console.print(f"Not {scenario}: {why}")
    own = sorted(set().union(*knockout.own.values()))
    console.print(f"Not counted, because the complete protocol does so too: {', '.join(own) or 'none'}.\n")
    _print_table(console, knockout.memory, summary(rows))
    weighty = [row for row in rows if row.wave or row.violation and not any(other.wave for other in rows)]
    if weighty:
        console.print("\ncarry weight:")
    for row in weighty:
        where = "the plain run" if row.run is None else f"run {row.run}"
        console.print(f"  {row.case.what}, {row.case.memory}: {row.violation} in {row.case.scenario}, {where}, clock {row.clock}: "
                      f"{row.sentence}{f' ({row.wave})' if row.wave else ''}")
    weight = {row.case.removed for row in rows if row.violation}
    never = dict.fromkeys(row.case.what for row in rows if len(row.case.removed) == 1 and row.case.removed not in weight)
    console.print(f"\nnever mattered here: {', '.join(never) or 'none'}")


def summary(rows):
    """What is left out -> memory model -> what was seen, as text: in how many runs of all scenarios each finding occurs; ``-``:
    none; ``idle``: a barrier that does nothing."""
    table = {}
    for row in rows:
        seen, runs = table.setdefault(row.case.what, {}).setdefault(row.case.memory, (Counter(), []))
        seen.update(dict(row.seen))
        runs.append(row.runs)
    return {what: {memory: _cell(seen, sum(runs)) for memory, (seen, runs) in models.items()} for what, models in table.items()}


def _cell(seen, runs):
    if not runs:
        return "idle"
    return ", ".join(f"{name} {count}" for name, count in seen.most_common()) or "-"


def _print_table(console, models, table):
    lines = [("left out", *models), *((what, *(cells.get(model, "") for model in models)) for what, cells in table.items())]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        console.print("  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip(),
                      style="bold" if line is lines[0] else None)
