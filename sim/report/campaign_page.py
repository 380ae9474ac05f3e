"""The pages of campaigns of many runs: a hunt, litmus tests, the museum, a knock-out. Each is made from the same plain data as
``--json``."""

from collections import Counter
from pathlib import Path

from sim.engines.spec import EngineSpec
from sim.files import make_folder
from sim.litmus.run import Verdict
from sim.runs.prepare import load
from sim.runs.run import run
from sim.runs.schedule import read_run
from sim.texts import count
from sim.timeline import Timeline

from .page import escape, table, write_page
from .run_page import story_lines
from .story import INTRODUCTION, in_short, story

__all__ = ["write_hunt_page", "write_knockout_page", "write_litmus_page", "write_museum_page"]

_FORBIDDEN = Verdict.FORBIDDEN_SEEN.value
#: The most tests in a chart, and the most final states of a test with a colour.
_MOST_TESTS, _MOST_STATES = 60, 6
_COLOURS = ("#5b8ff9", "#e8684a", "#5ad8a6", "#f6bd16", "#6f5ef9", "#9aa4b2", "#c9ced6")


def _heading(title, bold, rest, *, bad):
    """The verdict in bold, and the rest of its sentence."""
    yield f"<h1>{escape(title)}</h1>"
    yield f'<p class="verdict{" bad" if bad else ""}" id="verdict"><b>{escape(bold)}</b>{escape(rest)}</p>'


def _grid(name, corner, columns, rows):
    """A table that is read as a map. rows : heading -> column -> (class of ``page.css``, text)."""
    yield f'<div class="scroll" id="{name}"><table class="grid"><thead><tr><th>{escape(corner)}</th>'
    yield "".join(f"<th>{escape(column)}</th>" for column in columns) + "</tr></thead><tbody>"
    for heading, cells in rows.items():
        yield f"<tr><th>{escape(heading)}</th>"
        for kind, text in (cells.get(column, ("", "")) for column in columns):
            yield f'<td class="{kind}">{escape(text)}</td>'
        yield "</tr>"
    yield "</tbody></table></div>"


def _rows(columns, found):
    """Plain data as rows of a ``table``."""
    return [[row[name] for name in columns] for row in found]


# --- a hunt ---------------------------------------------------------------------------------------------------------


def write_hunt_page(path, prepared, report, engine=None):
    """report : a hunt's Report; the run of each of its findings is repeated from its schedule, to show its steps.
    engine : of ENGINES, or None. Raises InputError."""
    columns = ("oracle", "flag", "number", "clock", "sentence", "schedule")
    findings = table("findings", "findings", columns, _rows(columns, report.to_json()["violations"]))
    write_page(path, f"Hunt: {prepared.scenario.name}", "\n".join(_hunt(prepared, report, engine)), {"tables": [findings]})


def _hunt(prepared, report, engine):
    scenario, kinds = prepared.scenario, len(report.violations)
    yield from _heading(f"{scenario.name}: {scenario.title}", f"{count(kinds, 'kind').capitalize()} of violation found",
                        f" in {count(report.runs, 'schedule')}, {count(report.clocks, 'clock')}.", bad=kinds)
    yield (f'<p class="dim">protocol {escape(prepared.image.path.stem)}, {count(prepared.run.config.n_cores, "core")}, memory '
           f"{escape(prepared.settings.memory)}</p>")
    for sentence in report.disagreements:
        yield f"<p>Monitor and oracles disagree: {escape(sentence)}</p>"
    yield '<h2>Findings</h2><div id="findings"></div>'
    if report.violations:
        yield f"<p>{INTRODUCTION}</p>"
    for finding in report.violations:
        title, violation, steps, short = _retold(finding, engine)
        yield f"<h2>{escape(finding.oracle)}, run {finding.number}</h2>"
        yield from story_lines(violation, steps, title, short, numbered=True)
        yield f'<p class="dim">This run with its timeline: <code>crosscall replay {escape(finding.schedule)} --html</code></p>'


def _retold(finding, engine):
    """(what must hold, the violation, its steps, in short) of a finding, whose run is repeated."""
    file = Path(finding.schedule)
    prepared = load(read_run(file), file=file)
    timeline = Timeline(prepared.run.config, prepared.image)
    report = run(prepared, engine=EngineSpec(prepared.run.config, engine, prepared.room).make(), watch=timeline).to_json()
    timeline.finish(report["clocks"])
    violation = next(item for item in report["violations"] if item["oracle"] == finding.oracle)
    title = next((item["title"] for item in report["oracles"] if item["name"] == finding.oracle), None)
    calls = {call["id"]: call for call in report["calls"]}
    return title, violation, story(violation, timeline, calls), in_short(violation, calls)


# --- litmus tests ---------------------------------------------------------------------------------------------------


def write_litmus_page(path, report):
    """report : the command's ``--json``. Raises InputError or MissingToolError."""
    tests = report["tests"]
    shown = sorted(tests, key=lambda test: (test["verdict"] != _FORBIDDEN, not test["observed"]))[:_MOST_TESTS]
    rows = [(_name(test), test["expected"] if test["asks"] else None, "observed" if test["observed"] else "not seen",
             test["verdict"], "; ".join(f"{item['count']} × {_state(item)}" for item in test["states"])) for test in tests]
    data = {"tables": [table("tests", "tests", ("test", "expected", "seen", "verdict", "final states"), rows,
                             "`not-observed`: what the test asks about is allowed, but no run showed it.")]}
    if shown:
        data["bars"] = [{"name": "states", "title": "runs", "names": [_name(test) for test in shown],
                         "traces": [_ranked(shown, rank) for rank in range(_MOST_STATES + 1)]}]
    make_folder(path.parent)
    write_page(path, f"Litmus tests, {report['memory'].upper()}", "\n".join(_litmus(report, len(shown))), data)


def _litmus(report, shown):
    counts = Counter(test["verdict"] for test in report["tests"])
    forbidden, tests = counts[_FORBIDDEN], len(report["tests"])
    bold = f"{forbidden} of {count(tests, 'test')} showed a forbidden outcome" if forbidden else "No forbidden outcome was seen"
    rest = ", ".join(f"{count} {name}" for name, count in counts.most_common())
    yield from _heading(f"Litmus tests under {report['memory'].upper()}", bold,
                        f": {rest}; {count(report['runs'], 'run')} each, seed {report['seed']}.", bad=forbidden)
    yield '<h2>Final states</h2><p class="dim">In how many runs each test ended in each final state, the most frequent first'
    yield f"{f' ({shown} of {tests})' if shown < tests else ''}. Point at a bar to read the state.</p>"
    yield '<div id="states"></div><h2>Tests</h2><div id="tests"></div>'
    if report["refused"]:
        yield "<h2>Refused</h2><ul>"
        for item in report["refused"]:
            yield f"<li>{escape(item['file'])}: {escape(item['message'])}</li>"
        yield "</ul>"


def _name(test):
    return f"{test['name']} ({test['mode']})" if test["mode"] else test["name"]


def _state(item):
    state = item["state"]
    return "the run did not end" if state is None else ", ".join(f"{name}={value}" for name, value in state.items())


def _ranked(tests, rank):
    """The bars of the states of this rank by frequency; the last rank has all the rarer ones."""
    def of(test):
        states = sorted(test["states"], key=lambda item: -item["count"])
        return states[rank:rank + 1] if rank < _MOST_STATES else states[rank:]

    def shown(item):
        return f"{_state(item)}{' (forbidden)' if item['forbidden'] else ''}"

    return {"x": [sum(item["count"] for item in of(test)) for test in tests],
            "customdata": ["<br>".join(map(shown, of(test)[:8])) for test in tests],
            "hovertemplate": "%{y}, runs: %{x}<br>%{customdata}<extra></extra>", "marker": {"color": _COLOURS[rank]}}


# --- the museum -----------------------------------------------------------------------------------------------------


def write_museum_page(path, found):
    """found : the command's ``--json``. Raises InputError."""
    columns = ("defect", "generation", "settings", "cores", "memory", "expected", "oracle", "run", "runs", "clock", "sentence",
               "wave")
    rows = [row | {"settings": " ".join(row["settings"]), "expected": "defect" if row["expected"] else "clean"} for row in found]
    exhibits = table("exhibits", "exhibits", columns, _rows(columns, rows),
                     "`run` is the number of the schedule that shows the defect; it has none if the plain run does, or one with "
                     "holds.")
    make_folder(path.parent)
    write_page(path, "The museum", "\n".join(_museum(found)), {"tables": [exhibits]})


def _museum(found):
    wrong = sum(not row["as_expected"] for row in found)
    yield from _heading("The museum: each defect of the protocol's history, and which generations have it",
                        f"Not as expected: {wrong} of {count(len(found), 'exhibit')}." if wrong else
                        f"As expected: {count(len(found), 'exhibit')}.", "", bad=wrong)
    yield '<p class="dim">Red: the defect was found, as it is known to be there. Green: it was looked for and not found, as that'
    yield "generation is repaired. Purple: not as expected. An empty field: it was not looked for there.</p>"
    yield from _grid("history", "defect", sorted({row["generation"] for row in found}), _history(found))
    yield "<h2>The defects</h2><ul>"
    for name, title in {row["defect"]: row["title"] for row in found}.items():
        yield f"<li><b>{escape(name)}</b>: {escape(title)}</li>"
    yield '</ul><h2>All exhibits</h2><div id="exhibits"></div>'


def _history(found):
    """Defect -> generation -> what was found, of all its exhibits there: the worst determines the colour."""
    cells = {}
    for row in found:
        kind = "wrong" if not row["as_expected"] else "found" if row["found"] else "clean"
        number = f"run {row['run']}" if row["run"] is not None else "held" if row["holds"] else "plain run"
        seen = f"{row['oracle']}, {number}" if row["found"] else "clean"
        of_defect = cells.setdefault(row["defect"], {})
        before, text = of_defect.get(row["generation"], (kind, None))
        worst = min(before, kind, key=("wrong", "found", "clean").index)
        of_defect[row["generation"]] = worst, seen if text is None else f"{text}\n{seen}"
    return cells


# --- a knock-out ----------------------------------------------------------------------------------------------------


def write_knockout_page(path, knockout, found):
    """knockout : a Knockout.  found : the command's ``--json``. Raises InputError."""
    columns = ("removed", "memory", "scenario", "violation", "hits", "runs", "run", "clock", "sentence", "wave")
    cases = table("cases", "cases", columns, _rows(columns, found),
                  "`hits`: runs that showed the violation, of `runs`. The run, clock, sentence and waves are of the shortest.")
    make_folder(path.parent)
    write_page(path, f"Knock-out of {knockout.protocol}", "\n".join(_knockout(knockout, found)), {"tables": [cases]})


def _knockout(knockout, found):
    cells = {}
    for row in found:
        seen, runs = cells.setdefault(row["removed"], {}).setdefault(row["memory"], (Counter(), []))
        seen.update(row["seen"])
        runs.append(row["runs"])
    grid = {what: {memory: _weight(seen, sum(runs)) for memory, (seen, runs) in models.items()} for what, models in cells.items()}
    weighty = sum(any(kind == "found" for kind, _ in models.values()) for models in grid.values())
    yield from _heading(f"What {knockout.protocol} needs: each barrier and lock left out in turn",
                        f"{weighty} of {len(grid)} {'carries' if weighty == 1 else 'carry'} weight",
                        " on this machine: without it, something is violated that otherwise holds.", bad=False)
    yield '<p class="dim">Red: violated without it, and in how many runs. Green: never mattered here. Grey: a barrier that does'
    yield "nothing under this memory model.</p>"
    yield from _grid("weights", "left out", knockout.memory, grid)
    yield '<h2>By scenario</h2><div id="cases"></div>'


def _weight(seen, runs):
    """The cell of a grid. seen : finding -> in how many runs."""
    if not runs:
        return "idle", "idle"
    return ("found", ", ".join(f"{name} {count}" for name, count in seen.most_common())) if seen else ("clean", "never mattered")
