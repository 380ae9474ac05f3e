"""Which barriers and locks carry weight, as text."""

from sim.report.table import report_console

__all__ = ["print_knockout"]


def print_knockout(knockout, rows, memory):
    """A line for each barrier and lock, with what each memory model has shown first, and those that never mattered."""
    console = report_console()
    for scenario, why in knockout.skipped:
        console.print(f"without {scenario}: {why}")
    scenarios = list(dict.fromkeys(row.scenario for row in rows))
    console.print(f"{knockout.name}, {', '.join(scenarios)}: what is violated without a barrier or lock, and in which schedule")
    console.print(f"not counted, because it is with everything in place, too: {', '.join(sorted(knockout.own)) or 'nothing'}\n")
    heavy = {row.removed for row in rows if row.violation}
    # Of two at a time only those that cover for each other.
    removed = [names for names in dict.fromkeys(row.removed for row in rows) if len(names) == 1 or names in heavy]
    lines = [(" and ".join(names), *(_cell([row for row in rows if row.removed == names and row.memory == model])
                                     for model in memory)) for names in removed]
    widths = [max(map(len, column)) for column in zip(("left out", *memory), *lines, strict=True)]
    for number, line in enumerate([("left out", *memory), *lines]):
        console.print("  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip(),
                      style="bold" if number == 0 else None)
    weightless = [" and ".join(names) for names in removed if names not in heavy]
    console.print(f"\nnever mattered on this machine: {', '.join(weightless) or 'none'}")
    for row in rows:
        if row.wave:
            console.print(f"without {' and '.join(row.removed)}: {row.wave}")


def _cell(rows):
    """The violation that came after the fewest schedules."""
    found = [row for row in rows if row.violation]
    if found:
        first = min(found, key=lambda row: row.runs)
        where = "plain run" if first.run is None else f"run {first.run}"
        return f"{first.violation} ({first.scenario}, {where})"
    return "-" if any(row.runs for row in rows) else "does nothing"
