"""``crosscall litmus``: which files, in what order, and how it is told."""

import json
import sys
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from sim.errors import InputError
from sim.report.table import report_console

from .expected import Expected, read_expected
from .models import Model
from .parser import read_test
from .run import Runner, Verdict

__all__ = ["SHIPPED", "Report", "litmus", "show"]

#: The project's own tests.
SHIPPED = Path(__file__).parent / "tests"

_SAID = {None: "unknown", True: "allowed", False: "forbidden"}


class Report:
    """results : of all tests.  refused : InputError of each file that could not be read or run."""

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
        return sum(result.verdict is verdict for result in self.results)

    def to_json(self):
        return {
            "memory": self.model.value,
            "runs": self.runs,
            "seed": self.seed,
            "tests": [result.to_json() for result in self.results],
            "refused": [{"file": str(error.file), "line": error.line, "column": error.column, "message": error.message}
                        for error in self.refused],
        }


def litmus(paths, *, memory, runs, seed, expected, out, make, progress=lambda done, total, name: None, tell=lambda item: None):
    """Runs the tests of files and folders; the shipped ones if there are none.

    make : config -> Engine.
    progress : called before each test.  tell : called with each Result, and each InputError, as soon as it is there.
    A file that is malformed does not keep the others from being run. Raises InputError for what is wrong with the arguments.
    """
    try:
        model = Model(memory)
    except ValueError:
        raise InputError(f"--memory {memory}: it is sc, tso or pso") from None
    if expected is not None:
        verdicts = read_expected(expected)
    else:
        verdicts = Expected() if paths else read_expected(SHIPPED / "expected.csv")
    files = _files(paths or [SHIPPED])
    runner = Runner(model=model, runs=runs, seed=seed, expected=verdicts, out=out, make=make)
    report = Report(model, runs, seed)
    for number, path in enumerate(files):
        progress(number, len(files), path.stem)
        try:
            results = runner.run(read_test(path))
        except InputError as error:
            report.refused.append(error)
            tell(error)
            continue
        report.results += results
        for result in results:
            tell(result)
    return report


def _files(paths):
    """The files that are meant; those of a folder by name."""
    files = []
    for path in map(Path, paths):
        if path.is_dir():
            found = sorted(path.rglob("*.litmus"))
            if not found:
                raise InputError("there is no .litmus file in this folder", file=path)
            files += found
        elif path.is_file():
            files.append(path)
        else:
            raise InputError("there is no such file or folder", file=path)
    return files


def show(paths, *, as_json, **arguments):
    """``litmus`` for people, or as JSON: prints each result, and each refusal, as soon as it is there; gives the Report."""
    console = report_console()
    with _progress() as progress:
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


def _print_result(result, console):
    """One test: its verdict, and a line for each final state; a star marks those that the test asks about."""
    seen = "observed" if result.observed else "not seen"
    console.print(f"{result.name:<36} {_SAID[result.expected]:<10} {seen:<9} {result.verdict.value}")
    for state, count in result.states.most_common():
        mark = "!" if result.forbids(state) else "*" if result.test.asked(state) else " "
        shown = "the run did not end" if state is None else "; ".join(
            f"{variable}={value}" for variable, value in result.test.shown(state).items())
        console.print(f"{count:>8} {mark} {shown}")
    for what, path in result.files.items():
        console.print(f"  {what:<8}{path}")


def _print_summary(report, console):
    counts = ", ".join(f"{report.count(verdict)} {verdict.value}" for verdict in Verdict)
    refused = f", {len(report.refused)} refused" if report.refused else ""
    console.print(f"memory {report.model.value}, {report.runs} runs each, seed {report.seed}: {counts}{refused}")


@contextmanager
def _progress():
    """A function that shows on a terminal which test is run, and nothing in a pipe."""
    if not sys.stderr.isatty():
        yield lambda done, total, name: None
        return
    with Console(stderr=True).status("running") as status:
        yield lambda done, total, name: status.update(f"{done + 1} of {total}: {name}")
