"""The visible part of a core: its state, its status for schedules, and its probe for waveforms."""

from amaranth.lib import data, enum

__all__ = ["CoreState", "core_probe_layout", "status_layout"]


class CoreState(enum.Enum, shape=3):
    """The activity of a core in a clock."""

    #: Executes a microword, or is stalled by the schedule (``go`` low).
    RUN = 0
    #: Waits for the arena.
    MEMORY = 1
    #: Executed HALT; waits for an interrupt.
    HALT = 2
    #: Counts the extra clocks of interrupt entry or return.
    DELAY = 3
    #: After INIT: waits for STARTUP.
    WAIT_STARTUP = 4
    #: Stopped by PANIC, FAULT or STACK_FAULT.
    TRAPPED = 5


#: The status that a schedule may use; it describes the current clock.
status_layout = data.StructLayout({
    "halted": 1,        # in HALT, waiting for INIT or STARTUP, or stopped by a trap
    "pausing": 1,       # executes PAUSE
    "waiting": 1,       # waits for memory
    "in_handler": 1,    # at least one interrupt has been accepted and not left
    "trapped": 1,       # stopped by PANIC, FAULT or STACK_FAULT
})


def core_probe_layout(config):
    return data.StructLayout({
        "state": CoreState,
        "go": 1,                      # 0 in RUN: stalled by the schedule (or the machine does not run)
        "pc": config.pc_bits,         # microcode address of the current word
        "interrupts_on": 1,
        "depth": config.stack_bits,   # interrupts accepted and not left
        "registers": data.ArrayLayout(config.xlen, 8),
    })
