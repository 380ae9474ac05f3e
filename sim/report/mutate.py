"""A campaign of mutants as text."""

from collections import Counter

from sim.report.table import report_console
from sim.texts import count

__all__ = ["print_campaign"]


def print_campaign(report, notebook):
    """What happened to every mutant, which checks killed how many, and the survivors at the end, where they are noticed."""
    console = report_console()
    for row in report.killed:
        console.print(f"{row.id}: {_where(row.verdict)}: {row.verdict.sentence}")
    if report.equivalents:
        console.print("\nexplained as equivalent:")
    for row in report.equivalents:
        console.print(f"{row.id}: {row.equivalent}")
    if report.killed:
        console.print("\nkilled by:")
    for (what, stage), number in Counter((row.verdict.killed_by, _stage(row.verdict)) for row in report.killed).most_common():
        console.print(f"{number:5} {what} in {stage}")
    for row in report.contradictions:
        console.print(f"\nexplained as equivalent, but killed: {row.id}: {row.sentence}\n"
                      f"    {_where(row.verdict)}: {row.verdict.sentence}")
    if report.survivors:
        console.print("\nsurvivors:")
    for row in report.survivors:
        console.print(f"{row.id} ({row.routine}): {row.sentence}")
    console.print(f"\n{count(len(report.rows), 'mutant')} of {report.protocol}: {len(report.equivalents)} equivalent, "
                  f"{len(report.killed)} killed, {len(report.survivors)} not: {report.percent:.1f} % of the faults")
    if report.sample is not None:
        low, high = report.interval
        console.print(f"a sample, with seed {report.sample.seed}, of {count(report.sample.of, 'mutant')}: of all faults among "
                      f"these, {low:.1f} to {high:.1f} % are killed (95 % confidence)")
    console.print(f"{count(len(report.scenarios), 'scenario')}, {count(report.runs, 'schedule')} of each; this time "
                  f"{count(report.here, 'mutant')} in {report.seconds:.0f} s (--resume continues from {notebook})")


def _where(verdict):
    memory = "" if verdict.memory == "sc" else f" under {verdict.memory}"
    run = "" if verdict.run is None else f", run {verdict.run}"
    return f"{verdict.killed_by} in {verdict.scenario}{memory}{run}"


def _stage(verdict):
    return "the run of a scenario" if verdict.run is None else "a hunt"
