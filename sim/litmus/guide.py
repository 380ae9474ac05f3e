"""A way to a final state, as a memory model takes it -> the schedule under which the machine takes it, too."""

from rtl.schedule import schedule_layout

from .models import Model
from .steps import Store, column_steps

__all__ = ["guide"]

#: Clocks from one move to the next: nothing that is under way reaches into it.
_PACE = 4


def guide(program, model, way):
    """The schedule, as an Outcome has it, under which the threads make the Moves of a way that a Model has, if they begin at
    ``program.start``. All stand still then, but for what starts the move whose turn it is, and that in a single clock. Behind the
    last, nobody is held.

    The machine can take every way but those on which more stores wait than fit the buffer, or a store leaves before an older one
    and a younger one.
    """
    layout = schedule_layout(program.config)
    stall, hold, reorder = (layout[name].offset for name in ("stall", "hold_drain", "reorder_drain"))
    everybody = (1 << program.config.n_cores) - 1
    still = everybody << stall | everybody << hold
    # What is in force in a clock is about what starts in the next one.
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
    """The same way with each store as late as the other moves of its core let it be: then what leaves the buffer is more often the
    youngest, as the machine can do it."""
    steps = [column_steps(thread)[0] for thread in program.test.threads]
    waiting = [[] for _ in steps]                # by core: stores that are not executed yet
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
