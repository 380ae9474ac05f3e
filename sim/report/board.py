"""What a board did, for people."""

from .table import print_calls, report_console

__all__ = ["print_comparison"]


def print_comparison(found):
    """A ``sim.boards.run.Comparison``."""
    console = report_console()
    print(f"board with {found.identity.config.n_cores} cores: {found.summary.ending.value} at clock {found.summary.clock}")
    if found.repeated:
        print(f"{found.repeated} requests were damaged on the wire, and sent again")
    if found.difference is None:
        print("equal to the simulation: clock, ending, and every word of the arena; so this is how the calls went:")
        print_calls([call.to_json() for call in found.calls], console)
    else:
        print(f"differs from the simulation: {found.difference}")
