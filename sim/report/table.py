"""A run as text: a row per call, a line per oracle, the verdict, and the files. Made from the plain data that ``--json`` prints."""

import sys
from statistics import median

from rich.console import Console
from rich.measure import Measurement
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from sim.console import clear_status, printable
from sim.texts import count

__all__ = ["call_columns", "print_calls", "print_report", "report_console", "verdict_text"]

#: With more calls than this, the kinds are summed up and only the slowest calls and those with problems are shown.
MANY_CALLS = 200
_SLOWEST = 5
#: The ending of a run that is cut off.
_CUT = "limit"
#: Ending of a run -> what is known of a call that has not returned by then; None: the run goes on after its waves.
_OPEN = {_CUT: "cut off", None: "not yet"}
_NEVER = "never"
#: The oracles without which it is not known what calls owe.
_CONTRACT = {"O1", "O2", "O3"}
#: At most this many violations of each oracle, and unfinished calls, are shown.
_VIOLATIONS = 3
#: ... and targets that hold them up.
_STALLS = 8

class _Console(Console):
    def print(self, *objects, **options):
        clear_status()
        super().print(*objects, **options)

    def render(self, renderable, options=None):
        """Text from a file is shown literally: markup in it has no effect."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(printable(segment.text), segment.style)

    def on_broken_pipe(self):
        """The command decides how it ends."""
        raise BrokenPipeError


def report_console(file=None):
    """A console that uses colours only on a terminal, and never breaks a line of text itself."""
    return _Console(file=file or sys.stdout, highlight=False, markup=False, emoji=False, soft_wrap=True)


def print_report(report, console, *, everything=False):
    """Print the whole report of a run (``sim.runs.run.Result.to_json``). everything : each oracle on a line of its own."""
    console.print(Text(report["scenario"], "bold") + Text(f": {report['title']}", "not bold"))
    without = f" without {', '.join(report['without'])}" if report["without"] else ""
    console.print(f"protocol {report['protocol']}{without}, {count(report['config']['n_cores'], 'core')}, "
                  f"memory {report['memory']}, seed {report['seed']}: {count(report['clocks'], 'clock')}, "
                  f"digest {report['digest']}")
    console.print()
    problems = {call for violation in report["violations"] for call in violation["calls"]}
    print_calls(report["calls"], console, problems, ending=report["ending"])
    console.print()
    _print_oracles(report, console, everything)
    console.print(_messages(report["messages"]))
    console.print()
    console.print(_verdict(report))
    told = {item["sentence"] for item in report["violations"]}
    unfinished = [sentence for sentence in report["unfinished"] if sentence not in told]
    for sentence in unfinished[:_VIOLATIONS]:
        console.print(f"not over: {sentence}")
    if len(unfinished) > _VIOLATIONS:
        console.print(f"and {len(unfinished) - _VIOLATIONS} more")
    for stall in report["stalls"][:_STALLS]:
        console.print(f"  {stall['sentence']}")
    if len(report["stalls"]) > _STALLS:
        console.print(f"  and {len(report['stalls']) - _STALLS} more")
    if report["files"]:
        console.print()
        for what, path in report["files"].items():
            console.print(f"{what:<8}{path}" if what != "schedule" else f"repeat  crosscall replay {path}")
        if "view" in report["files"]:
            console.print(f"open    gtkwave {report['files']['view']}   (or: crosscall view {report['files']['view']})")


# --- the calls ------------------------------------------------------------------------------------------------------


def print_calls(calls, console, problems=frozenset(), *, ending):
    """Print a table of calls (``sim.calls.Call.to_json``). ``problems`` : ids of calls with a problem.

    ending : of the run, which says whether a call that has not returned never would have.
    """
    calls = _known(calls, ending)
    if not calls:
        console.print("no calls")
        return
    if len(calls) <= MANY_CALLS:
        _print_rows(calls, console, problems)
        return
    console.print(f"{count(len(calls), 'call')}, by kind; latency: from the call to its return, in clocks")
    console.print(_kinds(calls))
    slowest = sorted((call for call in calls if call["latency"] is not None), key=lambda call: -call["latency"])[:_SLOWEST]
    shown = {call["id"] for call in slowest} | problems | {call["id"] for call in calls if call["latency"] is None}
    console.print()
    console.print("the slowest, and all with problems:" if len(shown) > len(slowest) else "the slowest:")
    _print_rows([call for call in calls if call["id"] in shown], console, problems)


def _known(calls, ending):
    """The calls, each with what is known if it has not returned."""
    return [call | {"open": _OPEN.get(ending, _NEVER)} for call in calls]


def _print_rows(calls, console, problems):
    """In the widest layout that fits."""
    for layout in _LAYOUTS:
        table = _table([column for column, _ in layout])
        for call in calls:
            problem = call["id"] in problems
            cells = [cell(call) for _, cell in layout]
            cells[0] = f"{cells[0]} !" if problem else cells[0]
            table.add_row(*cells, style="red" if problem else None)
        width = Measurement.get(console, console.options.update(width=10_000), table).maximum
        if width <= console.width:
            break
    # If not even the narrowest fits, long lines are better than cells cut off.
    table.width = width
    console.print(table)
    console.print("`at` is the clock of the call; stages are clocks after it, for several targets "
                  + ("first-last" if layout is _LAYOUTS[0] else "the last"), style="dim")


def _table(columns):
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for name in columns:
        table.add_column(name, justify="left" if name in _LEFT else "right", no_wrap=True)
    return table


def _number(value):
    return "-" if value is None else str(value)


def _stage(name):
    """The clock of a stage of the caller, after the call."""
    return lambda call: _number(_after(call, call["stages"][name]))


def _after(call, clock):
    return None if clock is None else clock - call["stages"]["call"]


def _clocks(call, name):
    return [_after(call, visit[name]) for visit in call["per_target"].values() if visit[name] is not None]


def _last(name):
    """The clock at which the last target reached a stage."""
    return lambda call: _number(max(_clocks(call, name), default=None))


def _span(name):
    """The clocks at which the first and the last target reached a stage."""
    def cell(call):
        clocks = _clocks(call, name)
        return f"{min(clocks)}-{max(clocks)}" if len(set(clocks)) > 1 else _last(name)(call)
    return cell


def _ipi(cell):
    """`none` if the target's queue was not empty, so no interrupt was needed."""
    return lambda call: "none" if not _clocks(call, "ipi") and _clocks(call, "noipi") else cell("ipi")(call)


def _cores(cores):
    """[1, 2, 3, 5] -> "1-3,5"; a count if that is long."""
    runs = []
    for core in cores:
        if runs and core == runs[-1][1] + 1:
            runs[-1][1] = core
        else:
            runs.append([core, core])
    text = ",".join(str(low) if low == high else f"{low}-{high}" for low, high in runs)
    return text if len(text) <= 9 else count(len(cores), "core")


def _whom(call):
    return f"{call['caller']} -> {_cores(call['targets']) or 'nobody'}"


def _woken(call):
    """When the caller saw that the call is complete; or why there is nothing to see."""
    if call["result"]:
        return _ERRORS.get(call["result"], str(call["result"]))
    return _stage("woken")(call) if call["wait"] else "nowait"


_ERRORS = {-6: "ENXIO", -16: "EBUSY", -22: "EINVAL"}
_LEFT = ("call", "kind", "func", "who -> whom", "wait")
_CALL = ("call", lambda call: call["id"])
_KIND = ("kind", lambda call: call["name"])
_FUNC = ("func", lambda call: call["func"].removeprefix("func_"))
_WHOM = ("who -> whom", _whom)
_WAIT = ("wait", lambda call: "wait" if call["wait"] else "nowait")
_AT = ("at", lambda call: str(call["stages"]["call"]))
_QUEUE = ("queue", _stage("queue"))
_WOKEN = ("woken", _woken)
_LATENCY = ("latency", lambda call: call["open"] if call["latency"] is None else str(call["latency"]))

#: From wide to narrow: (name of the column, call -> cell).
_LAYOUTS = (
    (_CALL, _KIND, _FUNC, _WHOM, _WAIT, _AT, _QUEUE, ("ipi", _ipi(_span)), ("gotipi", _span("gotipi")), ("entry", _span("entry")),
     ("exit", _span("exit")), ("complete", _span("complete")), _WOKEN, _LATENCY),
    (_CALL, _KIND, _WHOM, _AT, _QUEUE, ("ipi", _ipi(_last)), ("gotipi", _last("gotipi")), ("entry", _last("entry")),
     ("exit", _last("exit")), ("compl", _last("complete")), _WOKEN, _LATENCY),
    (_CALL, _KIND, _WHOM, _AT, ("entry", _last("entry")), ("exit", _last("exit")), _WOKEN, _LATENCY),
)

#: Everything known about a call, each thing as one number if it is one.
_ALL = (_CALL, _KIND, _FUNC, _WHOM, _WAIT, _AT, *_LAYOUTS[1][4:-2], _WOKEN, _LATENCY)


def call_columns(calls, ending):
    """(titles, a row of cells for each call): the contents of the table, with numbers as numbers and None for missing values."""
    return [name for name, _ in _ALL], [[_cell(cell(call)) for _, cell in _ALL] for call in _known(calls, ending)]


def _cell(text):
    return int(text) if text.isdigit() else None if text == "-" else text


def _kinds(calls):
    table = _table(["kind", "wait", "calls", calls[0]["open"], "min", "median", "max"])
    groups = {}
    for call in calls:
        groups.setdefault((_KIND[1](call), _WAIT[1](call)), []).append(call["latency"])
    for (kind, wait), latencies in sorted(groups.items()):
        known = [latency for latency in latencies if latency is not None]
        spread = (min(known), median(known), max(known)) if known else (None, None, None)
        table.add_row(kind, wait, str(len(latencies)), str(len(latencies) - len(known)),
                      *(_number(value if value is None else round(value)) for value in spread))
    return table


# --- the verdict ----------------------------------------------------------------------------------------------------


def _print_oracles(report, console, everything):
    """What is violated, with its sentences; what is not judged, and why; the rest in two lines."""
    by_verdict = {}
    for oracle in report["oracles"]:
        by_verdict.setdefault(oracle["verdict"], []).append(oracle)
    for oracle in by_verdict.get("violated", ()):
        _print_violated(oracle, [item for item in report["violations"] if item["oracle"] == oracle["name"]], console)
    for oracle in by_verdict.get("not judged", ()):
        lacks = f": needs {' and '.join(oracle['lacks'])}"
        console.print(Text(f"{oracle['name']:<9}") + Text("not judged", "yellow") + Text(lacks))
    if everything:
        for oracle in report["oracles"]:
            if oracle["verdict"] in ("holds", "not exercised"):
                style = "green" if oracle["verdict"] == "holds" else "dim"
                times = f" ({oracle['exercised']})" if oracle["exercised"] else ""
                console.print(Text(f"{oracle['name']:<9}") + Text(f"{oracle['verdict']:<9}", style)
                              + Text(f" {oracle['title']}{times}"))
        return
    holding = ", ".join(f"{oracle['name']} ({oracle['exercised']})" for oracle in by_verdict.get("holds", ()))
    idle = ", ".join(oracle["name"] for oracle in by_verdict.get("not exercised", ()))
    if holding:
        console.print(Text("holds    ", "green") + Text(holding))
    if idle:
        console.print(Text("not exercised: ", "dim") + Text(idle))


def _print_violated(oracle, violations, console):
    console.print(Text(f"{oracle['name']:<9}") + Text("VIOLATED ", "bold red") + Text(f" {oracle['title']}"))
    for item in violations[:_VIOLATIONS]:
        where = [f"clock {item['clock']}"]
        if item["calls"]:
            where.append(f"call {', '.join(item['calls'])}")
        if item["cores"]:
            where.append(f"core {_cores(sorted(item['cores']))}")
        console.print(f"{'':9}{'; '.join(where)}: {item['sentence']}")
    if len(violations) > _VIOLATIONS:
        console.print(f"{'':9}and {len(violations) - _VIOLATIONS} more")


def _messages(counts):
    """What happened to the interrupt messages; those that vanished in red."""
    text = Text(f"messages {counts['sent']} sent, {counts['delivered']} delivered")
    for name, words in (("merged", "merged"), ("refused", "refused"), ("nobody", "to nobody"), ("unaccepted", "not accepted")):
        if counts[name]:
            text += Text(f", {counts[name]} {words}", "not bold" if name == "merged" else "bold red")
    return text


def verdict_text(report):
    """The verdict on a run in one sentence."""
    return _verdict(report).plain


def _verdict(report):
    violated = sorted({item["oracle"] for item in report["violations"]})
    unjudged = [oracle["name"] for oracle in report["oracles"] if oracle["verdict"] == "not judged"]
    expected, calls = report["expected"], len(report["calls"])
    cut = report["ending"] == _CUT
    if violated:
        text = Text("violated: ", "bold red") + Text(", ".join(violated))
    elif not report["ok"]:
        text = Text("not finished", "bold red") if cut else Text("not finished: ", "bold red") + Text(
            f'the run ended with "{report["ending"]}"')
    elif _CONTRACT & set(unjudged):
        text = Text("not judged: ", "bold yellow") + Text("nothing is violated, but what the calls owe is not known")
    else:
        them = "the only call" if calls == 1 else f"all {count(calls, 'call')}"
        done = f"{them} completed" if calls else "there was no call"
        text = Text("clean: ", "bold green") + Text(f"{done}, nothing is violated"
                                                    + (f"; not judged: {', '.join(unjudged)}" if unjudged else ""))
    if cut:
        text += Text(f"; the run was cut off after {count(report['clocks'], 'clock')} (--max-clocks)")
    if report["as_expected"]:
        return text + Text(", as expected" if expected else "")
    return text + Text(f"; the scenario expected {', '.join(expected) or 'a clean run'}")
