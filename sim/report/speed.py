"""The table of `crosscall bench speed`, from the plain data that ``--json`` prints."""

from rich.table import Table

__all__ = ["SpeedTable"]

_YARDSTICK = "verilator"
#: Column -> its width, so that rows can be printed as they come.
_COLUMNS = {"cores": 5, "engine": 9, "runs at once": 12, "clocks/s": 13, "x Verilator": 11, "build s": 7}


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
        yardsticks = {row["cores"]: row["clocks_per_second"] for row in rows if row["engine"] == _YARDSTICK}
        for row in rows:
            times = row["clocks_per_second"] / yardsticks[row["cores"]] if row["cores"] in yardsticks else None
            table.add_row(str(row["cores"]), row["engine"], str(row["runs_at_once"]), f"{row['clocks_per_second']:,}",
                          f"{times:.3g}" if times else "", f"{row['build_seconds']:.1f}")
        self._shown += len(rows)
        if rows:
            self._console.print(table)

    def finish(self, result):
        """What the figures mean, and what was compared."""
        print_line = self._console.print
        print_line()
        print_line("clocks/s: of all runs together, per second of processor time, median of slices. build s: processor time.")
        for check in result["checks"]:
            if len(check["engines"]) > 1:
                verdict = "equal" if check["equal"] else "DIFFERENT"
                runs = f" of each of {check['runs']} runs" if check["runs"] > 1 else ""
                print_line(f"{check['cores']} cores, {check['clocks']:,} clocks{runs}, the arena then: "
                           f"{verdict} in {', '.join(check['engines'])}")
