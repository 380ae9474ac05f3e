"""The run of a board, as text."""

from .table import print_calls, report_console

__all__ = ["print_boards", "print_built", "print_comparison"]


def print_comparison(found):
    """A ``sim.boards.run.Comparison``."""
    console = report_console()
    print(f"board with {found.identity.config.n_cores} cores: {found.summary.ending.value} at clock {found.summary.clock}")
    if found.repeated:
        print(f"{found.repeated} requests were damaged on the wire, and sent again")
    if found.difference is None:
        print("equal to the simulation: clock, ending, and every word of the arena; so the calls went like this:")
        print_calls([call.to_json() for call in found.calls], console)
    else:
        print(f"differs from the simulation: {found.difference}")


def print_boards(boards):
    """``sim.boards.boards.BoardInfo.to_json`` of each."""
    for item in sorted(boards, key=lambda item: item["reason"] is not None):
        what = item["reason"] or f"{item['cores']} cores at {item['clock_mhz']:g} MHz, serial line: {item['uart']}; {item['tool']}"
        print(f"{item['name']:<26}{item['device']:<17}{'no: ' if item['reason'] else ''}{what}")


def print_built(built):
    """A ``sim.boards.synth.Built``."""
    print(f"{built.board}: {built.cores} cores at {built.clock_mhz:g} MHz")
    if built.fmax_mhz is not None:
        print(f"{built.lut} LUT, {built.ff} flip-flops, {built.bram} block RAMs, {built.lc} of {built.lc_of} logic cells")
        fast = "it is fast enough" if built.fmax_mhz >= built.clock_mhz else "TOO SLOW: it may not work; see --clock"
        print(f"Fmax {built.fmax_mhz} MHz, wanted {built.clock_mhz:g} MHz: {fast}")
    print("left out: " + "; ".join(built.left_out))
    print(f"files: {built.folder}")
    print(f"next: {built.run}")
