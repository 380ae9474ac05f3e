"""``crosscall litmus``: which files, in what order, and how results are printed."""

import json
import os
import sys
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from sim.errors import InputError
from sim.report.table import report_console
from sim.texts import count
from sim.workers.processes import Workers

from .collection import Notebook, entries
from .expected import Expected, read_expected
from .models import Model
from .parser import read_test
from .run import Runner, Verdict

__all__ = ["SHIPPED", "Report", "litmus", "show"]

#: The project's own tests.
SHIPPED = Path(__file__).parent / "tests"
#: Where an unfinished run records its results.
_NOTEBOOK = "litmus.notebook"
#: How often, in seconds.
_NOTED = 10.0
#: This many tests are not worth another process.
_FEW = 8


class Report:
    """results : of all tests, as from Result.to_json.  refused : InputError of each file that could not be read or run."""

    def __init__(self, model, runs, seed):
        self.model = model
        self.runs = runs
        self.seed = seed
        self.results = []
        self.refused = []

    @property
    def forbidden(self):
        """How many tests showed a forbidden outcome."""
        return self.count(Verdict.FORBIDDEN_SEEN)

    def count(self, verdict):
        return sum(result["verdict"] == verdict.value for result in self.results)

    @property
    def reasons(self):
        """Why files were refused -> how many; the most frequent first."""
        return dict(Counter(_reason(error) for error in self.refused).most_common())

    def to_json(self):
        return {
            "memory": self.model.value,
            "runs": self.runs,
            "seed": self.seed,
            "tests": self.results,
            "refused": [{"file": str(error.file), "line": error.line, "column": error.column, "message": error.message}
                        for error in self.refused],
            "reasons": self.reasons,
        }


def _reason(error):
    """The common beginning of messages of one kind."""
    return error.message.partition(":")[0].partition(", did you mean")[0].partition(", not ")[0]


def litmus(paths, *, memory, runs, seed, expected, out, engine=None, processes=None, resume=False, note=lambda line: None,
           progress=lambda done, total, name: None, tell=lambda item: None):
    """Run the tests of files and folders; the shipped ones if there are none.

    engine, note : as for Runner.  processes : how many work side by side; None: one per CPU.
    resume : continue the interrupted run whose notebook is in ``out``.
    progress : called before each test.  tell : called with each result and each InputError, in the order of the files.
    A refused file does not stop the others. Raises InputError for bad arguments.
    """
    try:
        model = Model(memory)
    except ValueError:
        raise InputError(f"--memory {memory}: must be sc, tso or pso") from None
    if expected is not None:
        verdicts = read_expected(expected)
    else:
        verdicts = Expected() if paths else read_expected(SHIPPED / "expected.csv")
    files = entries(paths or [SHIPPED])
    notebook = Notebook((out or Path()) / _NOTEBOOK, {"memory": memory, "runs": runs, "seed": seed,
                                                      "expected": expected and str(expected)})
    if resume:
        notebook.read()
    runner = Runner(model=model, runs=runs, seed=seed, expected=verdicts, out=out, engine=engine, note=note)
    report = Report(model, runs, seed)
    work = _Work(runner, files, notebook)
    written = time.monotonic()
    try:
        for number, (entry, outcome) in enumerate(work.outcomes(processes, progress)):
            if isinstance(outcome, InputError):
                report.refused.append(outcome)
                tell(outcome)
            else:
                notebook.add(entry.path, outcome)
                report.results += outcome
                for result in outcome:
                    tell(result)
            if out is not None and number and time.monotonic() > written + _NOTED:
                notebook.write()
                written = time.monotonic()
    except KeyboardInterrupt:
        if out is not None and len(notebook):
            notebook.write()
            tell(InputError(f"{len(notebook)} of {len(files)} files are done, as {notebook.path} records; --resume continues"))
        raise
    if out is not None:
        notebook.remove()
    return report


class _Work:
    """The files, one after the other or side by side."""

    def __init__(self, runner, files, notebook):
        self._runner = runner
        self._files = files
        self._notebook = notebook

    def outcomes(self, processes, progress):
        """(Entry, its results or an InputError), in the order of the files."""
        noted = {number: self._notebook.results(entry.path) for number, entry in enumerate(self._files)}
        outcomes = {number: results for number, results in noted.items() if results is not None}
        left = [number for number in noted if number not in outcomes]
        # Those that are not worth the start of another process run here.
        count = min(processes or len(os.sched_getaffinity(0)), -(-len(left) // _FEW))
        done = self._side_by_side(left, count, progress) if count > 1 else self._in_turn(left, progress)
        for number, entry in enumerate(self._files):
            while number not in outcomes:
                other, outcome = next(done)
                outcomes[other] = outcome
            yield entry, outcomes.pop(number)

    def _one(self, number):
        """(number, results or InputError) of a file."""
        entry = self._files[number]
        if entry.error is not None:
            return number, entry.error
        try:
            return number, [result.to_json() for result in self._runner.run(read_test(entry.path), stem=entry.stem)]
        except InputError as error:
            return number, error

    def _in_turn(self, numbers, progress):
        for done, number in enumerate(numbers):
            progress(done, len(numbers), self._files[number].stem)
            yield self._one(number)

    def _side_by_side(self, numbers, count, progress):
        progress(0, len(numbers), "making the machines")
        self._prepare(numbers)
        waiting = iter(numbers)
        with Workers(count, self._one) as workers:
            finished = 0
            while finished < len(numbers):
                while workers.hungry and (number := next(waiting, None)) is not None:
                    workers.give(number)
                for outcome in workers.results():
                    progress(finished, len(numbers), self._files[outcome[0]].stem)
                    finished += 1
                    yield outcome

    def _prepare(self, numbers):
        """Make the machines that most files need before the others, so that each is made once."""
        kinds = Counter()
        for number in numbers:
            try:
                test = read_test(self._files[number].path)
            except InputError:
                continue
            kinds[test.n_cores, test.xlen] += 1
        for kind, tests in kinds.items():
            if tests > 1:
                self._runner.prepare(*kind)


def show(paths, *, as_json, **arguments):
    """``litmus`` for people, or as JSON: print each result and each refusal as soon as it is available; return the Report."""
    console = report_console()
    with _progress(console) as progress:
        def tell(item):
            if isinstance(item, InputError):
                print(f"crosscall: {item}", file=sys.stderr)
            elif not as_json:
                _print_result(item, console)

        report = litmus(paths, progress=progress, tell=tell, **arguments)
    if as_json:
        print(json.dumps(report.to_json(), indent=2))
    else:
        _print_summary(report, console)
    return report


_SAID = {None: "unknown", "allowed": "allowed", "forbidden": "forbidden"}


def _print_result(result, console):
    """One test: its verdict, and a line for each final state; a star marks those that the test asks about."""
    name = f"{result['name']} ({result['mode']})" if result["mode"] else result["name"]
    seen = "observed" if result["observed"] else "not seen"
    said = f"{_SAID[result['expected']]:<10} {seen:<9}" if result["asks"] else f"{'-':<10} {'-':<9}"
    console.print(f"{name:<36} {said} {result['verdict']}")
    if not result["enumerated"]:
        console.print("  too many states to try all orders: judged only by what was seen")
    for item in result["states"]:
        mark = "!" if item["forbidden"] else "*" if item["asked"] else " "
        shown = "the run did not end" if item["state"] is None else "; ".join(
            f"{variable}={value}" for variable, value in item["state"].items())
        console.print(f"{item['count']:>8} {mark} {shown}")
    for what, path in result["files"].items():
        console.print(f"  {what:<8}{path}" if what != "schedule" else f"  repeat  crosscall replay {path}")


def _print_summary(report, console):
    counts = ", ".join(f"{report.count(verdict)} {verdict.value}" for verdict in Verdict)
    refused = f", {len(report.refused)} refused" if report.refused else ""
    console.print(f"memory {report.model.value}, {count(report.runs, 'run')} each, seed {report.seed}: {counts}{refused}")
    if len(report.refused) > 1:
        for reason, number in report.reasons.items():
            console.print(f"{number:>8} refused: {reason}")


@contextmanager
def _progress(console):
    """A function that shows on a terminal which test runs and how long the rest may take, and nothing in a pipe."""
    if not sys.stderr.isatty():
        yield lambda done, total, name: None
        return
    started = time.monotonic()

    def show(done, total, name):
        left = (time.monotonic() - started) * (total - done) / done if done else None
        status.update(f"{done + 1} of {total}: {name}" + (f", about {left:.0f} s left" if left is not None else ""))

    # If results go to the terminal too, both use one console, or the status line would end up among them.
    with (console if console.is_terminal else Console(stderr=True)).status("reading") as status:
        yield show
