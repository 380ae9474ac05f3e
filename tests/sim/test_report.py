"""The report of a run as text."""

import io
from functools import partial

import pytest

from sim.report.table import MANY_CALLS, print_calls, print_report, report_console


def visit(at, **stages):
    names = ("ipi", "noipi", "delivered", "gotipi", "empty", "handle", "unlock", "entry", "exit", "complete")
    return {name: None if stages.get(name) is None else at + stages[name] for name in names}


NAMES = {"smp_call_function_single": "single", "smp_call_function_many": "many", "smp_call_function": "all",
         "__smp_call_function_single": "csd"}


def call(id, kind, targets, wait, at, *, latency=100, result=0):
    """As ``Call.to_json`` gives it; the first target takes no interrupt if ``kind`` starts with __."""
    per_target = {
        str(core): visit(at, **{"noipi" if kind.startswith("__") else "ipi": 20 + core}, gotipi=30 + core, entry=50 + core,
                         exit=80 + core, complete=90 if core == targets[-1] else None)
        for core in targets} if not result else {}
    return {
        "id": id, "kind": kind, "name": NAMES.get(kind, kind), "caller": int(id.split(".")[0]), "targets": targets,
        "wait": wait, "func": "func_work", "info": 1,
        "stages": {"call": at, "lock": at + 2, "queue": at + 10, "wait": at + 25 if wait else None,
                   "woken": at + 95 if wait else None, "return": None if latency is None else at + latency},
        "per_target": per_target, "latency": latency, "result": result,
    }


CALLS = [
    call("0.0", "smp_call_function_single", [1], True, 1000),
    call("0.1", "smp_call_function_many", [1, 2, 3, 5], True, 2000),
    call("2.0", "__smp_call_function_single", [1], False, 13000, latency=40),
    call("2.1", "smp_call_function_single", [99], True, 14000, latency=9, result=-6),
    call("3.0", "smp_call_function", [0, 1, 2], False, 15000, latency=None),
    call("3.1", "mine", [], False, 15500),
]


MESSAGES = {"sent": 9, "delivered": 9, "merged": 0, "refused": 0, "nobody": 0, "unaccepted": 0}


def oracles(**verdicts):
    """As ``Oracle.to_json`` gives them. All hold but those of ``verdicts``."""
    known = (("O1", "no early return", 7), ("O9", "no lost interrupt", 8), ("O12", "no empty mask", 9))
    return [{"name": name, "title": title, "verdict": verdicts.get(name, "holds"),
             "exercised": 0 if verdicts.get(name) == "not exercised" else exercised,
             "lacks": ["the event RUN", "a run that comes to rest"] if verdicts.get(name) == "not judged" else []}
            for name, title, exercised in known]


def report(**changes):
    result = {
        "scenario": "demo", "title": "a tour", "protocol": "v4", "without": [], "memory": "sc", "config": {"n_cores": 6},
        "seed": 0, "clocks": 16000, "messages": MESSAGES,
        "digest": "0x12345678", "ending": "quiet", "ok": True, "expected": [], "as_expected": True, "calls": CALLS,
        "oracles": oracles(), "violations": [],
        "unfinished": [], "stalls": [], "files": {},
    }
    return result | changes


def printed(monkeypatch, columns, show, *arguments):
    monkeypatch.setenv("COLUMNS", str(columns))
    file = io.StringIO()
    show(*arguments, report_console(file))
    return file.getvalue()


def violation(oracle, *, calls=(), cores=(), clock=777):
    return {"oracle": oracle, "clock": clock, "calls": list(calls), "cores": list(cores), "sentence": "this must not be"}


def test_rows_at_80_columns(monkeypatch):
    text = printed(monkeypatch, 80, partial(print_calls, problems={"0.1"}, ending="quiet"), CALLS)
    assert text.splitlines() == [
        "call  kind   who -> whom    at queue  ipi gotipi entry exit compl  woken latency",
        "0.0   single 0 -> 1       1000    10   21     31    51   81    90     95     100",
        "0.1 ! many   0 -> 1-3,5   2000    10   25     35    55   85    90     95     100",
        "2.0   csd    2 -> 1      13000    10 none     31    51   81    90 nowait      40",
        "2.1   single 2 -> 99     14000    10    -      -     -    -     -  ENXIO       9",
        "3.0   all    3 -> 0-2    15000    10   22     32    52   82    90 nowait   never",
        "3.1   mine   3 -> nobody 15500    10    -      -     -    -     - nowait     100",
        "`at` is the clock of the call; stages are clocks after it, for several targets the last",
    ]


@pytest.mark.parametrize("columns", [40, 60, 80, 100, 120, 200])
def test_nothing_is_cut_off_or_coloured(monkeypatch, columns):
    text = printed(monkeypatch, columns, print_report, report())
    table = text.split("\n\n")[1].splitlines()
    assert "…" not in text and "\x1b" not in text
    assert all(len(line) <= max(columns, 60) for line in table[:-1])
    for item in CALLS:
        assert any(line.startswith(item["id"]) for line in table)


def test_wide_table_has_first_and_last(monkeypatch):
    lines = printed(monkeypatch, 120, partial(print_calls, ending="quiet"), CALLS).splitlines()
    assert lines[0].split() == ["call", "kind", "func", "who", "->", "whom", "wait", "at", "queue", "ipi", "gotipi", "entry",
                                "exit", "complete", "woken", "latency"]
    assert lines[2].split() == ["0.1", "many", "work", "0", "->", "1-3,5", "wait", "2000", "10", "21-25", "31-35", "51-55",
                                "81-85", "90", "95", "100"]


def test_many_calls_are_summed_up(monkeypatch):
    calls = [call(f"0.{i}", "smp_call_function_single", [1], i % 2 == 0, 100 * i, latency=i) for i in range(MANY_CALLS)]
    calls.append(call("1.0", "smp_call_function", [0], True, 50, latency=None))
    text = printed(monkeypatch, 80, partial(print_calls, problems={"0.7"}, ending="quiet"), calls)
    summary, rows = text.split("\n\n")
    assert summary.splitlines() == [
        f"{MANY_CALLS + 1} calls, by kind; latency: from the call to its return, in clocks",
        "kind   wait   calls never min median max",
        "all    wait       1     1   -      -   -",
        "single nowait   100     0   1    100 199",
        "single wait     100     0   0     99 198",
    ]
    assert [line.split()[0] for line in rows.splitlines()[2:-1]] == ["0.7", "0.195", "0.196", "0.197", "0.198", "0.199", "1.0"]
    assert rows.startswith("the slowest, and all with problems:\n")
    assert printed(monkeypatch, 80, partial(print_calls, ending=None), calls).splitlines()[1].split()[3:5] == ["not", "yet"]


def test_no_calls(monkeypatch):
    assert printed(monkeypatch, 80, partial(print_calls, ending="quiet"), []) == "no calls\n"


@pytest.mark.parametrize("changes, verdict", [
    ({}, "clean: all 6 calls completed, nothing is violated"),
    ({"calls": CALLS[:1]}, "clean: the only call completed, nothing is violated"),
    ({"calls": []}, "clean: there was no call, nothing is violated"),
    ({"oracles": oracles(O9="not exercised")}, "clean: all 6 calls completed, nothing is violated"),
    ({"oracles": oracles(O9="not judged")}, "clean: all 6 calls completed, nothing is violated; not judged: O9"),
    ({"oracles": oracles(O1="not judged")}, "not judged: nothing is violated, but what the calls owe is not known"),
    ({"ok": False, "as_expected": True, "expected": ["O1"], "violations": [violation("O1")]}, "violated: O1, as expected"),
    ({"ok": False, "as_expected": False, "violations": [violation("O1")]}, "violated: O1; the scenario expected a clean run"),
    ({"ok": True, "as_expected": False, "expected": ["O1"]},
     "clean: all 6 calls completed, nothing is violated; the scenario expected O1"),
    ({"ok": False, "as_expected": False, "ending": "limit"},
     "not finished; the run was cut off after 16000 clocks (--max-clocks); the scenario expected a clean run"),
    ({"ok": False, "as_expected": False, "ending": "limit", "violations": [violation("O1")]},
     "violated: O1; the run was cut off after 16000 clocks (--max-clocks); the scenario expected a clean run"),
    ({"ok": False, "as_expected": False, "ending": "trap"},
     'not finished: the run ended with "trap"; the scenario expected a clean run'),
])
def test_verdict(monkeypatch, changes, verdict):
    assert verdict in printed(monkeypatch, 80, print_report, report(**changes)).splitlines()


def test_oracles_and_files(monkeypatch):
    changes = {
        "ok": False, "as_expected": False,
        "oracles": oracles(O12="violated"),
        "violations": [violation("O12", calls=["0.1", "0.2"], cores=[2, 3]), *[violation("O12", clock=i) for i in range(4)]],
        "files": {"events": "waves/demo.events.jsonl", "waves": "waves/demo.vcd", "view": "waves/demo.gtkw"},
    }
    text = printed(monkeypatch, 80, print_report, report(**changes))
    assert """
O12      VIOLATED  no empty mask
         clock 777; call 0.1, 0.2; core 2-3: this must not be
         clock 0: this must not be
         clock 1: this must not be
         and 2 more
holds    O1 (7), O9 (8)
messages 9 sent, 9 delivered
""" in text
    assert text.endswith("""
events  waves/demo.events.jsonl
waves   waves/demo.vcd
view    waves/demo.gtkw
open    gtkwave waves/demo.gtkw   (or: crosscall view waves/demo.gtkw)
""")


def test_what_does_not_hold_is_not_said_to(monkeypatch):
    text = printed(monkeypatch, 80, print_report, report(oracles=oracles(O1="not exercised", O9="not judged")))
    assert """
O9       not judged: needs the event RUN and a run that comes to rest
holds    O12 (9)
not exercised: O1
messages 9 sent, 9 delivered
""" in text


def test_every_oracle_on_a_line_of_its_own(monkeypatch):
    def show(data, console):
        print_report(data, console, everything=True)

    text = printed(monkeypatch, 80, show, report(oracles=oracles(O9="not exercised")))
    lines = [" ".join(line.split()) for line in text.splitlines()]
    at = lines.index("messages 9 sent, 9 delivered")
    assert lines[at - 3:at] == ["O1 holds no early return (7)", "O9 not exercised no lost interrupt", "O12 holds no empty mask (9)"]


def test_messages_that_vanished(monkeypatch):
    counts = MESSAGES | {"delivered": 5, "merged": 1, "refused": 2, "nobody": 3, "unaccepted": 4}
    text = printed(monkeypatch, 80, print_report, report(messages=counts))
    assert "messages 9 sent, 5 delivered, 1 merged, 2 refused, 3 to nobody, 4 not accepted\n" in text


def test_a_call_that_is_cut_off_is_not_one_that_never_returns(monkeypatch):
    """Nor one that does not wait: what was asked is known before the caller starts to wait."""
    waiting = call("0.0", "smp_call_function_many", [1, 2], True, 2000, latency=None)
    waiting["stages"]["woken"] = None
    for ending, cell in (("limit", "cut off"), ("stopped", "never"), (None, "not yet")):
        text = printed(monkeypatch, 80, partial(print_calls, ending=ending), [waiting])
        row = next(line for line in text.splitlines() if line.startswith("0.0"))
        assert row.split("-")[-1].strip() == cell and "nowait" not in row


def test_calls_that_are_not_over_are_named(monkeypatch):
    changes = {"ok": False, "as_expected": False, "ending": "limit", "unfinished": ["call 0.1 many from core 0 waits: core 1"]}
    text = printed(monkeypatch, 80, print_report, report(**changes))
    assert "not over: call 0.1 many from core 0 waits: core 1\n" in text
