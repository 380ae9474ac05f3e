"""The results of `crosscall bench latency`: a table, a CSV file, and a page with the curves."""

import csv
import io

from rich.table import Table

from sim.calls import Stage
from sim.files import make_folder, write_whole
from sim.stages import COLOURS
from sim.texts import count

from .legend import legend
from .page import check_charts, escape, table, write_page
from .table import report_console

__all__ = ["LatencyReport", "curves"]

#: Column -> its width on the terminal, so that rows can be printed as they come.
_WHERE = {"protocol": 8, "memory": 6}
_COUNTED = {"cores": 5, "callers": 7, "targets": 7}
_FOUND = {"calls": 5, "least": 7, "median": 9, "mean": 9, "most": 7}
#: What is counted -> its name in the page.
_AXES = {"targets": "targets of each call", "callers": "cores that call at the same time", "cores": "cores of the machine"}
#: At most this many points have a bar each in the page.
_BARS = 60


class LatencyReport:
    """Takes the rows of ``sim.bench.latency.bench_latency`` as they come.

    Parameters
    ----------
    out : folder.  csv, html : which files ``write`` writes there.  table : print the rows. Raises MissingToolError without a
    charting library for the page.
    """

    def __init__(self, out, *, csv=False, html=False, table=True):
        if html:
            check_charts()
        self.rows = []
        self._files = {"rows": out / "latency.csv"} if csv else {}
        self._page = out / "latency.html" if html else None
        self._console = report_console() if table else None

    def add(self, row):
        """Keep a row, and print it."""
        self.rows.append(row)
        if self._console:
            self._console.print(_line(row, show_header=len(self.rows) == 1))
            if not row["ok"]:
                self._console.print(f"    {_wrong(row)}", style="red")

    def write(self):
        """Write the files, with the rows so far, and name them. Raises InputError."""
        if not self.rows:
            return
        files = dict(self._files)
        if files or self._page:
            make_folder((self._page or files["rows"]).parent)
        if files:
            write_whole(files["rows"], _csv(self.rows))
        if self._page:
            files["page"] = self._page
            _write_page(self._page, self.rows)
        if self._console:
            self._console.print("\nlatency: from the call to its return, in clocks, of all calls of all callers")
            for what, path in files.items():
                self._console.print(f"{what:<8}{path}")

    def to_json(self):
        return {"rows": self.rows}


def _line(row, *, show_header):
    settings = {name: len(name) for name in row["settings"]}
    line = Table(box=None, pad_edge=False, header_style="bold", show_header=show_header)
    for name, width in (_WHERE | settings | _COUNTED | _FOUND).items():
        line.add_column(name, justify="left" if name in _WHERE else "right", min_width=width)
    cells = [*(row[name] for name in _WHERE), *row["settings"].values(), *(row[name] for name in (*_COUNTED, *_FOUND))]
    line.add_row(*("-" if cell is None else str(cell) for cell in cells))
    return line


def _wrong(row):
    return f"violated: {', '.join(row['violations'])}" if row["violations"] else "not all calls completed"


def _csv(rows):
    stages = [stage.text for stage in Stage if any(stage.text in row["stages"] for row in rows)]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*_WHERE, *rows[0]["settings"], *_COUNTED, *_FOUND, "ok", *(f"{stage}_clocks" for stage in stages)])
    for row in rows:
        writer.writerow([*(row[name] for name in _WHERE), *row["settings"].values(), *(row[name] for name in (*_COUNTED, *_FOUND)),
                         int(row["ok"]), *(row["stages"].get(stage, 0) for stage in stages)])
    return text.getvalue()


# --- the page -------------------------------------------------------------------------------------------------------


def curves(rows):
    """A chart for each number of the rows that has several values: {"name", "title", "axis", "up", "lines"}. A line of it is
    {"name", "x", "y"}, where everything else is constant; its name lists the constants in which the lines differ."""
    where = [_where(row) for row in rows]
    several = [name for name in where[0] if len({place[name] for place in where}) > 1]
    charts = []
    for axis in several:
        if not all(isinstance(place[axis], int) for place in where):
            continue
        others, lines = [name for name in several if name != axis], {}
        for row, place in zip(rows, where, strict=True):
            if row["median"] is not None:
                lines.setdefault(_label(place, others), []).append((place[axis], row["median"]))
        charts.append({
            "name": f"by-{axis}", "title": f"Latency by {_AXES.get(axis, axis)}", "axis": _AXES.get(axis, axis),
            "up": "latency in clocks, median", "lines": [
                {"name": name, "x": [x for x, _ in sorted(points)], "y": [y for _, y in sorted(points)]}
                for name, points in lines.items()]})
    # First how latency grows with targets and callers, then the rest.
    order = [f"by-{name}" for name in _AXES]
    return sorted(charts, key=lambda chart: order.index(chart["name"]) if chart["name"] in order else len(order))


def _where(row):
    """Name -> value of everything that identifies the place of a row; numbers as numbers."""
    settings = {name: int(value) if value.isdigit() else value for name, value in row["settings"].items()}
    return {name: row[name] for name in (*_WHERE, *_COUNTED)} | settings


def _label(place, names):
    return ", ".join(_words(name, place[name]) for name in names)


def _words(name, value):
    if name in _WHERE:
        return str(value)
    return count(value, name.removesuffix("s")) if name in _COUNTED else f"{name} {value}"


def _write_page(path, rows):
    charts = curves(rows)
    body = "\n".join(_body(rows, charts))
    write_page(path, "crosscall: latency of calls", body, {"lines": charts, "bars": [_stages(rows)], "tables": [_points(rows)]})


def _body(rows, charts):
    yield "<h1>How the latency of calls grows</h1>"
    yield (f'<p class="dim">{count(len(rows), "point")}, {count(sum(row["calls"] for row in rows), "call")}. All callers '
           "call the same cores, and wait for them. Latency is from the call to its return.</p>")
    wrong = [row for row in rows if not row["ok"]]
    if wrong:
        place = _where(wrong[0])
        yield (f'<p class="verdict bad"><b>not clean:</b> {len(wrong)} of {count(len(rows), "point")}. '
               f"{escape(_label(place, place))}: {escape(_wrong(wrong[0]))}.</p>")
    else:
        yield '<p class="verdict"><b>clean:</b> all calls are over, and nothing is violated.</p>'
    for chart in charts:
        yield f'<h2>{escape(chart["title"])}</h2><div id="{escape(chart["name"])}"></div>'
    yield ('<h2>Where the clocks go</h2><p class="dim">On average. Each clock belongs to the stage that was reached last, by the '
           f'caller or by the target that it waited for.{_left_out(rows)}</p><div id="stages"></div>')
    yield from legend({stage for stage in COLOURS if any(stage.text in row["stages"] for row in rows)})
    yield '<h2>All points</h2><div id="points"></div>'


def _left_out(rows):
    return f" Of {count(len(rows), 'point')}, the first {_BARS}." if len(rows) > _BARS else ""


def _stages(rows):
    some = rows[:_BARS]
    where = [_where(row) for row in some]
    several = [name for name in where[0] if len({place[name] for place in where}) > 1]
    return {"name": "stages", "title": "clocks of latency", "names": [_label(place, several) or "all calls" for place in where],
            "traces": [{"name": stage.text, "x": [row["stages"].get(stage.text, 0) for row in some], "marker": {"color": colour},
                        "hovertemplate": f"%{{y}}, clocks in {stage.text}: %{{x}}<extra></extra>"}
                       for stage, colour in COLOURS.items() if any(stage.text in row["stages"] for row in some)]}


def _points(rows):
    names = [*_where(rows[0]), *_FOUND]
    return table("points", "points", names, [[*_where(row).values(), *(row[name] for name in _FOUND)] for row in rows],
                 "Latencies in clocks, of all calls of all callers.")
