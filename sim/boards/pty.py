"""A simulated board behind a pseudo-terminal, which the host opens as it opens a serial port."""

import os
import select
import time
import tty
from contextlib import contextmanager, suppress
from threading import Event, Thread

from .terminal import DIVISOR

__all__ = ["plugged_in", "serve"]

#: Clocks of the board between two looks at the terminal, beyond those that octets take: few enough that a request which comes in
#: two pieces is not dropped. And seconds to wait there if nothing happens.
_CLOCKS = 2000
_IDLE = 0.002


def serve(board, master, stop=lambda: False, wire=lambda octets: octets):
    """Let a board (CompiledBoard or PySimBoard) run, and join its serial line with the master's end of a pseudo-terminal, until
    ``stop()``.

    wire : changes octets on the way from the host to the board; tests damage them.
    """
    waiting = b""
    while not stop():
        if select.select([master], [], [], 0 if waiting else _IDLE)[0]:
            try:
                waiting += wire(os.read(master, 4096))
            except OSError:             # no process has it open
                time.sleep(_IDLE)
        sent, came = board.run(waiting, _CLOCKS + 10 * DIVISOR * len(waiting))
        waiting = waiting[sent:]
        while came:
            came = came[os.write(master, came):]


@contextmanager
def plugged_in(board, **options):
    """The name of a serial port that has a board at its other end, for as long as the context lasts. options : of ``serve``."""
    master, slave = os.openpty()
    tty.setraw(slave)
    unplugged = Event()
    server = Thread(target=serve, args=(board, master), kwargs={**options, "stop": unplugged.is_set}, daemon=True)
    server.start()
    try:
        # The slave stays open here, so that hosts may come one after the other.
        yield os.ttyname(slave)
    finally:
        unplugged.set()
        server.join()
        for end in (master, slave):
            with suppress(OSError):
                os.close(end)
