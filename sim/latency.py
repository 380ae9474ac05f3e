"""Where the clocks of a call's latency go."""

from .calls import Stage

__all__ = ["latency_stack"]

_ORDER = {stage.text: stage.value for stage in Stage}
#: This stage only says that the call was made.
_BEGIN, _END = Stage.CALL.text, Stage.RETURN.text


def latency_stack(call):
    """Stage -> clocks of the latency spent in it, in the order in which they were reached; None if the call has not returned. Their
    sum is the latency.

    A clock belongs to the stage reached last: by the caller, or, if it waits, by the target that it waited for longest. (That is
    the last one to complete, or else to end the function, before the caller was woken.)

    call : as from ``sim.calls.Call.to_json``.
    """
    if call["latency"] is None:
        return None
    begin, end = call["stages"][_BEGIN], call["stages"][_END]
    reached = [(clock, stage) for stage, clock in call["stages"].items() if clock is not None]
    if call["wait"]:
        reached += [(clock, stage) for stage, clock in _waited_for(call).items() if clock is not None]
    stack, now, since = {}, _BEGIN, begin
    for clock, stage in sorted(reached, key=lambda item: (item[0], _ORDER[item[1]])):
        if begin <= clock <= end:
            stack[now] = stack.get(now, 0) + clock - since
            now, since = stage, clock
    return {stage: clocks for stage, clocks in stack.items() if clocks}


def _waited_for(call):
    """What the target did to end the caller's wait."""
    woken = call["stages"][Stage.WOKEN.text]
    best, last = {}, -1
    for visit in call["per_target"].values():
        clock = next((visit[stage] for stage in (Stage.COMPLETE.text, Stage.EXIT.text) if visit[stage] is not None), None)
        if clock is not None and clock <= (call["stages"][_END] if woken is None else woken) and clock > last:
            best, last = visit, clock
    return best
