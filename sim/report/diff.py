"""Two protocols side by side, as text."""

from sim.calls import Stage
from sim.report.table import report_console
from sim.texts import count

__all__ = ["print_comparison"]

#: The number of bouncing words and of locks to show.
_SHOWN = 8
#: Facts from the oracles.
_FACTS = {"longest_irqs_off": "off at most, in clocks", "overtaken": "calls that were overtaken",
          "most_visits": "most entries of a walk"}
#: More calls than this are not shown one by one.
_CALLS = 40


def print_comparison(comparison):
    """Calls, stages, memory, locks, interrupts and verdicts, the difference at the end of each line."""
    console = report_console()
    left, right = comparison.left, comparison.right
    prepared = left.result.prepared
    console.print(f"{prepared.scenario.name}: {prepared.scenario.title}", style="bold")
    console.print(f"{count(prepared.run.config.n_cores, 'core')}, memory {prepared.settings.memory}\n")
    width = max(28, *(len(name) for side in (left, right) for part in ("locks", "bouncing") for name in side.traffic[part]))

    def line(what, one, other, **style):
        same = one == other
        more = f"{other - one:+g}" if not same and all(isinstance(value, int | float) for value in (one, other)) else ""
        console.print(f"{what:<{width + 2}}{_text(one):>12}{_text(other):>12}{more:>10}", **style)

    line("", left.name, right.name, style="bold")
    line("clocks", left.result.clocks, right.result.clocks)
    calls = comparison.calls
    console.print("latency of each call, in clocks" if len(calls) <= _CALLS else f"{count(len(calls), 'call')}: see --json")
    for name, one, other in calls[:_CALLS] if len(calls) <= _CALLS else ():
        line(f"  {name} {(one or other)['name']}{' waits' if (one or other)['wait'] else ''}", _latency(one), _latency(other))
    console.print("stages, clocks after the call, on average")
    for stage in Stage:
        if stage.text in left.stages or stage.text in right.stages:
            line(f"  {stage.text}", left.stages.get(stage.text), right.stages.get(stage.text))
    _traffic(console, line, left.traffic, right.traffic)
    for what, text in _FACTS.items():
        line(f"  {text}", left.result.facts[what], right.result.facts[what])
    console.print("verdicts")
    for name, verdict in left.verdicts.items():
        if verdict != right.verdicts[name]:
            line(f"  {name}", verdict, right.verdicts[name])
    if left.verdicts == right.verdicts:
        console.print("  the same")


def _traffic(console, line, left, right):
    console.print("memory, from the first call on")
    for kind in left["operations"]:
        line(f"  {kind}", left["operations"][kind], right["operations"][kind])
    line("  words touched", left["words"], right["words"])
    line("  words that went to another core", left["bounces"], right["bounces"])
    for name in _most(left["bouncing"], right["bouncing"]):
        line(f"    {name}", left["bouncing"].get(name, 0), right["bouncing"].get(name, 0))
    console.print("locks: clocks held (taken, tries that failed, longest)")
    for name in _most(*({lock: parts["clocks"] for lock, parts in side["locks"].items()} for side in (left, right))):
        line(f"  {name}", *(side["locks"].get(name, {}).get("clocks") for side in (left, right)))
        line("", *("{taken}, {failed}, {longest}".format_map(side["locks"][name]) if name in side["locks"] else None
                   for side in (left, right)))
    console.print("interrupts for calls")
    for what, text in (("sent", "sent"), ("saved", "saved: the queue was not empty")):
        line(f"  {text}", left["interrupts"][what], right["interrupts"][what])


def _most(left, right):
    """The names with the largest numbers on either side."""
    total = {name: left.get(name, 0) + right.get(name, 0) for name in {**left, **right}}
    return sorted(total, key=lambda name: -total[name])[:_SHOWN]


def _latency(call):
    return None if call is None else call["latency"]


def _text(value):
    return "-" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
