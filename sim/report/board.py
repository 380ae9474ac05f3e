"""The run of a board, as text."""

from sim.texts import count

from .table import print_calls, report_console

__all__ = ["print_boards", "print_built", "print_comparison", "print_hunt"]


def print_comparison(found):
    """A ``sim.boards.run.Comparison``."""
    console = report_console()
    print(f"board with {count(found.identity.config.n_cores, 'core')}: {found.summary.ending.value} at clock {found.summary.clock}")
    if found.repeated:
        print(f"damaged on the wire, and sent again: {count(found.repeated, 'request')}")
    if found.difference is None:
        records = "" if found.digest is None else f", and every record ({found.digest:#010x})"
        print(f"equal to the simulation: clock, ending, every word of the arena{records}; so the calls went like this:")
        print_calls([call.to_json() for call in found.calls], console, ending=found.summary.ending.value)
    else:
        print(f"differs from the simulation: {found.difference}")


def print_hunt(found):
    """A ``sim.boards.hunt.HuntOnBoard``, whose findings have been printed."""
    print(f"board with {count(found.identity.config.n_cores, 'core')}: {count(found.runs, 'run')} in {found.seconds:.1f} s "
          f"({found.runs / found.seconds:.0f} per second)")
    if found.by_oracles:
        print(f"{found.by_oracles} of them judged by the oracles: the Monitor has no room for all that happens in them")
    if found.repeated:
        print(f"damaged on the wire, and sent again: {count(found.repeated, 'request')}")
    where = f"run {found.number}, seed {found.plan.seed:#x}, {found.summary.ending.value} at clock {found.summary.clock}"
    if found.difference is not None:
        print(f"{where}: differs from the simulation: {found.difference}")
        return
    records = ", every record" if found.identity.digest else ""
    print(f"{where}: equal to the simulation: clock, ending, every word of the arena{records}, and the flags of the Monitor")
    for sentence in found.disagreements:
        print(f"monitor and oracles disagree: {sentence}")
    if found.clean:
        print("nothing found")


def print_boards(boards):
    """``sim.boards.boards.BoardInfo.to_json`` of each."""
    for item in sorted(boards, key=lambda item: item["reason"] is not None):
        what = item["reason"] or (f"{count(item['cores'], 'core')} at {item['clock_mhz']:g} MHz, serial line: {item['uart']}; "
                                  f"{item['tool']}")
        print(f"{item['name']:<26}{item['device']:<17}{'no: ' if item['reason'] else ''}{what}")


def print_built(built):
    """A ``sim.boards.synth.Built``."""
    print(f"{built.board}: {count(built.cores, 'core')} at {built.clock_mhz:g} MHz")
    if built.fmax_mhz is not None:
        print(f"{built.lut} LUT, {count(built.ff, 'flip-flop')}, {count(built.bram, 'block RAM')}, "
              f"{built.lc} of {count(built.lc_of, 'logic cell')}")
        fast = "it is fast enough" if built.fmax_mhz >= built.clock_mhz else "TOO SLOW: it may not work; see --clock"
        print(f"Fmax {built.fmax_mhz} MHz, wanted {built.clock_mhz:g} MHz: {fast}")
    print("left out: " + "; ".join(built.left_out))
    print(f"files: {built.folder}")
    print(f"next: {built.run}")
