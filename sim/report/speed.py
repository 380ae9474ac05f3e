"""The table and the page of `crosscall bench speed`, from the plain data that ``--json`` prints."""

import math

from rich.table import Table

from sim.files import make_folder
from sim.texts import count

from .page import escape, table, write_page

__all__ = ["SpeedTable", "times_yardstick", "write_speed_page"]

_YARDSTICK = "verilator"
#: Column -> its width, so that rows can be printed as they come.
_COLUMNS = {"cores": 5, "engine": 9, "runs at once": 12, "clocks/s": 13, "x Verilator": 11, "build s": 7}
#: Engine -> the colour of its bars, dark enough for a light page and light enough for a dark one.
_COLOURS = {"pysim": "#9aa4b2", "compiled": "#5b8ff9", "lanes": "#2fae74", "verilator": "#e8684a"}


def times_yardstick(rows):
    """How many times Verilator's speed each row has, at the same number of cores; None where Verilator was not measured."""
    speeds = {row["cores"]: row["clocks_per_second"] for row in rows if row["engine"] == _YARDSTICK}
    return [row["clocks_per_second"] / speeds[row["cores"]] if speeds.get(row["cores"]) else None for row in rows]


class SpeedTable:
    """A line per engine and number of cores, with its speed as a multiple of Verilator's; at the end, what was compared."""

    def __init__(self, console):
        self._console = console
        self._shown = 0

    def show(self, result):
        """Print the new rows."""
        rows = result["rows"][self._shown:]
        table = Table(box=None, pad_edge=False, header_style="bold", show_header=not self._shown)
        for name, width in _COLUMNS.items():
            table.add_column(name, justify="left" if name == "engine" else "right", min_width=width)
        for row, times in zip(rows, times_yardstick(rows), strict=True):
            table.add_row(str(row["cores"]), row["engine"], str(row["runs_at_once"]), f"{row['clocks_per_second']:,}",
                          f"{times:.3g}" if times else "", f"{row['build_seconds']:.1f}")
        self._shown += len(rows)
        if rows:
            self._console.print(table)

    def finish(self, result):
        """What the figures mean, and what was compared."""
        print_line = self._console.print
        print_line()
        print_line(_MEANING)
        for check in _comparisons(result):
            print_line(_compared(check))


_MEANING = "clocks/s: clocks of all runs together per second of processor time, the median of slices. build s: processor time."


def _comparisons(result):
    """The checks that compare something."""
    return [check for check in result["checks"] if len(check["engines"]) > 1]


def _compared(check):
    verdict = "equal" if check["equal"] else "DIFFERENT"
    runs = f" of each of {count(check['runs'], 'run')}" if check["runs"] > 1 else ""
    return (f"{count(check['cores'], 'core')}, {check['clocks']:,} clocks{runs}, the arena then: {verdict} in "
            f"{', '.join(check['engines'])}")


# --- the page -------------------------------------------------------------------------------------------------------


def write_speed_page(path, result):
    """Write the page of a result with at least one row. Raises InputError or MissingToolError."""
    rows, times = result["rows"], times_yardstick(result["rows"])
    columns = ("cores", "engine", "runs at once", "clocks/s", "x Verilator", "build s")
    speeds = table("speeds", "rows", columns, [
        [row["cores"], row["engine"], row["runs_at_once"], row["clocks_per_second"], ratio and float(f"{ratio:.3g}"),
         row["build_seconds"]] for row, ratio in zip(rows, times, strict=True)])
    make_folder(path.parent)
    write_page(path, "crosscall: speed of the engines", "\n".join(_body(result, times)),
               {"bars": [_speeds(rows), *_ratios(rows, times)], "tables": [speeds]})


def _body(result, times):
    rows, compared = result["rows"], _comparisons(result)
    wrong = [check for check in compared if not check["equal"]]
    yield "<h1>How fast the engines are</h1>"
    yield f'<p class="dim">scenario {escape(result["workload"])}. {escape(_MEANING)}</p>'
    if wrong:
        yield f'<p class="verdict bad" id="verdict"><b>engines disagree:</b> {escape(_compared(wrong[0]))}.</p>'
    else:
        fastest = max(rows, key=lambda row: row["clocks_per_second"])
        agree = "all engines agree on every arena compared; " if compared else ""
        yield (f'<p class="verdict" id="verdict"><b>{fastest["clocks_per_second"]:,} clocks/s</b> at most: '
               f'{escape(_where(fastest))}; {agree}{count(len(rows), "row")}.</p>')
    yield '<h2>Clocks per second</h2><p class="dim">The axis is logarithmic.</p><div id="clocks"></div>'
    if _compared_with_yardstick(rows, times):
        yield ('<h2>Compared with Verilator</h2><p class="dim">How many times its speed, at the same number of cores; bars to the '
               'left of 1 are slower. The axis is logarithmic.</p><div id="ratios"></div>')
    yield '<h2>All rows</h2><div id="speeds"></div>'
    if compared:
        yield "<h2>What was compared</h2><ul>" + "".join(f"<li>{escape(_compared(check))}</li>" for check in compared) + "</ul>"


def _where(row):
    return f"{row['engine']}, {count(row['cores'], 'core')}"


def _speeds(rows):
    speeds = [max(1, row["clocks_per_second"]) for row in rows]
    return {"name": "clocks", "title": "clocks/s", "names": [_where(row) for row in rows], "log": _decades(speeds),
            "traces": [{"x": speeds, "marker": {"color": [_COLOURS[row["engine"]] for row in rows]},
                        "hovertemplate": "%{y}: %{x:,} clocks/s<extra></extra>"}]}


def _compared_with_yardstick(rows, times):
    """(row, ratio) of all rows but Verilator's own that have a ratio."""
    return [(row, ratio) for row, ratio in zip(rows, times, strict=True) if ratio and row["engine"] != _YARDSTICK]


def _ratios(rows, times):
    """The chart of these, if there are any."""
    others = _compared_with_yardstick(rows, times)
    if others:
        ratios = [ratio for _, ratio in others]
        # A bar begins at 1, and its length is what follows.
        yield {"name": "ratios", "title": "times Verilator's speed", "names": [_where(row) for row, _ in others],
               "log": _decades([1, *ratios]), "traces": [{
                   "base": 1, "x": [ratio - 1 for ratio in ratios], "customdata": [f"{ratio:.3g}" for ratio in ratios],
                   "marker": {"color": [_COLOURS[row["engine"]] for row, _ in others]},
                   "hovertemplate": "%{y}: %{customdata} times<extra></extra>"}]}


def _decades(values):
    """The range of a logarithmic axis, as exponents of 10, in which the least value has some length too."""
    return [math.floor(math.log10(min(values) / 2)), math.ceil(math.log10(max(values) * 1.1))]
