"""The table of `crosscall bench speed`, from the plain data that ``--json`` prints."""

from rich.table import Table

__all__ = ["print_speed"]

_YARDSTICK = "verilator"


def print_speed(result, console):
    """A line per engine and number of cores, with how many times Verilator's speed it is; then what was compared."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("cores", "engine", "runs at once", "clocks/s", "x Verilator", "build s"):
        table.add_column(name, justify="left" if name == "engine" else "right")
    yardsticks = {row["cores"]: row["clocks_per_second"] for row in result["rows"] if row["engine"] == _YARDSTICK}
    for row in result["rows"]:
        times = row["clocks_per_second"] / yardsticks[row["cores"]] if row["cores"] in yardsticks else None
        table.add_row(str(row["cores"]), row["engine"], str(row["runs_at_once"]), f"{row['clocks_per_second']:,}",
                      f"{times:.3g}" if times else "", f"{row['build_seconds']:.1f}")
    console.print(table)
    console.print()
    console.print("clocks/s: of all runs together, per second of processor time, median of slices. build s: processor time.")
    for check in result["checks"]:
        if len(check["engines"]) > 1:
            verdict = "equal" if check["equal"] else "DIFFERENT"
            runs = f" of each of {check['runs']} runs" if check["runs"] > 1 else ""
            console.print(f"{check['cores']} cores, {check['clocks']:,} clocks{runs}, the arena then: "
                          f"{verdict} in {', '.join(check['engines'])}")
