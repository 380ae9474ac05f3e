"""What can be run: scenarios, protocols, presets, settings."""

from dataclasses import asdict, fields

from rtl.config import PRESETS, Straps
from sim.microcode.protocols import barriers_and_locks, find_protocol, shipped_protocols
from sim.runs.prepare import prepare
from sim.runs.settings import MACHINE_SETTINGS
from sim.scenarios.expected import expectations
from sim.scenarios.reader import find_scenario, read_scenario, shipped_scenarios
from sim.texts import count
from sim.watchdog import JUDGES

from .table import report_console

__all__ = ["catalogue", "print_catalogue"]


def catalogue():
    """As plain data."""
    scenarios = [read_scenario(find_scenario(name), seed=0) for name in shipped_scenarios()]
    expected = {name: expectations(find_protocol(name), JUDGES) for name in shipped_protocols()}
    return {
        "scenarios": [{"name": item.name, "title": item.title, "protocol": item.protocol, "cores": item.n_cores,
                       "expected": list(prepare(item.name).expected),
                       "verdicts": [{"protocol": name, **asdict(row)} for name, rows in expected.items() for row in rows
                                    if row.scenario == item.name]} for item in scenarios],
        "protocols": [{"name": name, "title": title, "names": barriers_and_locks(name)}
                      for name, title in shipped_protocols().items()],
        "presets": {name: asdict(config) for name, config in PRESETS.items()},
        "straps": [{"name": item.name, "default": item.default, "doc": item.metadata["doc"]} for item in fields(Straps)],
        "settings": [*MACHINE_SETTINGS, *(item.name for item in fields(Straps)), "define.NAME"],
    }


def _expected(row):
    where = [f"under {' and '.join(row['memory'])}"] if row["memory"] else []
    *others, last = row["cores"] or (None,)
    where += [f"with {' or '.join([*map(str, others), count(last, 'core')])}"] if last else []
    what = f"{', '.join(row['violations'])} violated by {row['protocol']}" if row["violations"] else f"{row['protocol']} clean"
    return " ".join([what, *where])


def print_catalogue(what):
    """``catalogue()`` as text."""
    console = report_console()

    def heading(text):
        console.print(text, style="bold")

    heading("scenarios (crosscall run NAME)")
    width = max(len(item["name"]) for item in what["scenarios"]) + 1
    for item in what["scenarios"]:
        verdict = "; ".join(map(_expected, item["verdicts"])) or "clean"
        console.print(f"  {item['name']:<{width}}{item['title']}")
        console.print(f"  {'':{width}}{item['protocol']}, {count(item['cores'], 'core')}; expected: {verdict}")
    heading("protocols (--protocol NAME)")
    for item in what["protocols"]:
        console.print(f"  {item['name']:<14}{item['title']}")
    heading("barriers and locks (--without NAME)")
    for item in what["protocols"]:
        console.print(f"  {item['name']:<14}{', '.join(item['names'])}")
    heading("presets (--preset NAME)")
    for name, config in what["presets"].items():
        console.print(f"  {name:<14}{', '.join(f'{key} {value}' for key, value in config.items())}")
    heading("straps, constant during a run (--set NAME=VALUE)")
    for item in what["straps"]:
        console.print(f"  {item['name']:<18}{item['doc']} (default {item['default']})")
    heading("structure (--set NAME=VALUE)")
    console.print(f"  {', '.join(MACHINE_SETTINGS)}")
    heading("constants of the protocol")
    console.print("  --set define.NAME=VALUE")
