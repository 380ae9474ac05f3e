"""The schedule: who is held back in which clock. All zero is the plain machine."""

from amaranth.lib import data

__all__ = ["schedule_layout", "status_layout"]


def schedule_layout(config):
    """The ``schedule`` port of a Machine, one bit per core (or source) and kind. Each is sampled at the clock edge and
    holds back what would *start* in the clock after it; what has started goes on.

    stall : no new microinstruction starts. Memory, drains and fabric go on.
    hold_drain : the store buffer starts no new drain. (Without a store buffer: no effect.)
    hold_interrupt : no interrupt is accepted.
    hold_message : the message of this source is not delivered.
    """
    return data.StructLayout({
        "stall": config.n_cores,
        "hold_drain": config.n_cores,
        "hold_interrupt": config.n_cores,
        "hold_message": config.n_cores,
    })


#: What a schedule may look at, per core, in the clock in which it is true.
status_layout = data.StructLayout({
    "halted": 1,        # in HALT, waiting for INIT or STARTUP, or stopped by a trap
    "pausing": 1,       # executes PAUSE
    "waiting": 1,       # waits for memory
    "in_handler": 1,    # at least one interrupt has been accepted and not left
    "trapped": 1,       # stopped by PANIC, FAULT or STACK_FAULT
})
