"""A hunt as text."""

from sim.report.table import report_console
from sim.texts import count

__all__ = ["print_finding", "print_report"]


def print_finding(finding):
    """Print a finding at once, so that nothing is lost if the hunt ends here."""
    report_console().print(f"{finding.oracle} ({finding.flag}), run {finding.number}, clock {finding.clock}: {finding.sentence}\n"
                           f"    crosscall replay {finding.schedule}")


def print_report(report, notebook):
    """The result of a hunt."""
    console = report_console()
    console.print()
    speed = report.here / report.seconds if report.seconds else 0
    console.print(f"{count(report.runs, 'schedule')}, {count(report.clocks, 'clock')}; this time {report.here} in "
                  f"{report.seconds:.1f} s ({speed:.0f} per second)")
    if report.by_oracles:
        why = "" if report.by_oracles == report.runs else ": the Monitor has no room for all that happens in them"
        console.print(f"{report.by_oracles} of them judged by the oracles{why}")
    for sentence in report.disagreements:
        console.print(f"monitor and oracles disagree: {sentence}")
    console.print(f"{count(len(report.violations), 'kind')} of violation found; the next number is {report.following} "
                  f"(--resume continues from {notebook})")
