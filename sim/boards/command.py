"""What ``crosscall board`` does."""

import os
import tty
from contextlib import contextmanager, suppress
from dataclasses import asdict

from rtl.boards.wire import Operation
from rtl.check.room import Room
from rtl.config import MachineConfig
from sim.export import with_assignments
from sim.texts import count

from .hunt import hunt
from .link import BoardError, open_port
from .pty import serve
from .run import compare, prepare_for
from .session import Session

__all__ = ["hunt_on_board", "identify", "run_on_board", "simulate"]


@contextmanager
def _session(port, baud):
    with open_port(port, baud=baud) as opened:
        yield Session(opened)


def identify(port, baud):
    """A board's description of itself: name -> value."""
    with _session(port, baud) as session:
        identity = session.identity
        return {**asdict(identity.config), "clock_mhz": identity.clock_khz / 1000, "preloaded": f"{identity.image:#010x}",
                "hunter": None if identity.room is None else asdict(identity.room), "digest": identity.digest}


def run_on_board(port, baud, scenario, *, max_clocks, tell, progress, **options):
    """The Comparison of a scenario on the board at a port. options : of ``prepare_for``."""
    with _session(port, baud) as session:
        prepared = prepare_for(session.config, scenario, **options).under(max_clocks=max_clocks)
        return compare(session, prepared, tell=tell, progress=progress)


def hunt_on_board(port, baud, scenario, plans, *, max_clocks, hunted, **options):
    """The HuntOnBoard of a scenario on the board at a port; if it is interrupted, the board is stopped.

    plans : as ``sim.boards.hunt.hunt`` takes them.  hunted : its other options.  options : of ``prepare_for``.
    """
    with _session(port, baud) as session:
        prepared = prepare_for(session.config, scenario, **options).under(max_clocks=max_clocks)
        try:
            return hunt(session, prepared, plans, **hunted)
        except KeyboardInterrupt:
            with suppress(BoardError):
                session.link.ask(Operation.HOLD)
            raise


def simulate(cores, assignments, hunter, digest):
    """Be a board behind a pseudo-terminal, until Ctrl-C; print where it is."""
    from .terminal import CompiledBoard

    config = with_assignments(MachineConfig(arena_depth=512).with_cores(cores), assignments)
    board = CompiledBoard(config, room=Room() if hunter else None, digest=digest)
    master, slave = os.openpty()
    try:
        tty.setraw(slave)
        print(f"a board with {count(config.n_cores, 'core')} is at {os.ttyname(slave)}; end it with Ctrl-C", flush=True)
        serve(board, master)
    finally:
        for end in (master, slave):
            with suppress(OSError):
                os.close(end)
