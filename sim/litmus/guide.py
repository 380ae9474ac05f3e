"""A path to a final state in a memory model -> the schedule under which the machine takes it too."""

from rtl.schedule import schedule_layout

from .models import Model
from .steps import Store, column_steps

__all__ = ["guide"]

#: Clocks from one move to the next: enough for everything in flight to settle.
_PACE = 4


def guide(program, model, way):
    """The schedule, in the form of an Outcome, under which the threads make the Moves of a Model's path, if they begin at
    ``program.start``. Everything stands still except what starts the next move, and that only in a single clock. After the last
    move nothing is held.

    The machine can take every path except those on which more stores wait than the buffer holds, or a store leaves before an older
    one and a younger one.
    """
    layout = schedule_layout(program.config)
    stall, hold, reorder = (layout[name].offset for name in ("stall", "hold_drain", "reorder_drain"))
    everybody = (1 << program.config.n_cores) - 1
    still = everybody << stall | everybody << hold
    # The schedule in force in a clock affects what starts in the next one.
    clock = program.first - 1
    schedule = [(clock, still)]
    for core, step, index in way if model is Model.SC else _stores_late(program, way):
        if step is None:
            starts = [still & ~(1 << hold + core) | bool(index) << reorder + core]
        else:
            starts = [still & ~(1 << stall + core)] * program.words[core][step]
        for raw in starts:
            clock += _PACE
            schedule += [(clock, raw), (clock + 1, still)]
    return (*schedule, (clock + _PACE, 0))


def _stores_late(program, way):
    """The same path with each store as late as the other moves of its core allow: then the store that leaves the buffer is more
    often the youngest, which the machine can do."""
    steps = [column_steps(thread)[0] for thread in program.test.threads]
    waiting = [[] for _ in steps]                # by core: stores that have not executed yet
    stores = [0 for _ in steps]                  # by core: those in the buffer
    for move in way:
        if move.step is not None and isinstance(steps[move.core][move.step], Store):
            waiting[move.core].append(move)
            continue
        late = waiting[move.core]
        while late and (move.step is not None or stores[move.core] <= move.index):
            yield late.pop(0)
            stores[move.core] += 1
        stores[move.core] -= move.step is None
        yield move
