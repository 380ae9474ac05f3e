"""What went wrong, step by step: the few moments of a run that explain a violation."""

from pathlib import PurePath

from rtl.events import ApicEvent, Event
from sim.oracles.oracle import listing
from sim.texts import count

__all__ = ["INTRODUCTION", "in_short", "story"]

#: HTML for readers who have never seen the project.
INTRODUCTION = ("In this machine a core can ask other cores to run a function: it makes a <em>call</em>. The call's id says who "
                "made it: 0.1 is the second call of core 0.")
#: At most this many steps are shown; those around the violation.
_MOST = 24

#: With more targets than this their number is told.
_MOST_TARGETS = 8

#: A core that the schedule holds for fewer clocks is not worth a step.
_LONG = 32

#: Event -> its meaning, for readers who have never seen the protocol. Events that are not here tell them nothing.
#: ``word`` is the name of the word of memory.
_SENTENCES = {
    Event.CALL: "asks {targets} to run {func}{wait}",
    Event.QUEUE: "puts the request where the others look for it",
    Event.NOIPI: "sends no interrupt: the queue was not empty, so one is on its way",
    ApicEvent.SEND: "sends interrupt {a:#x} to core {b}",
    Event.IPI_MASK: "reads the mask of the cores to interrupt: {a:#x}",
    Event.WAIT: "begins to wait",
    ApicEvent.ACCEPT: "accepts interrupt {a:#x}",
    Event.TAKE: "takes the request for itself",
    Event.DEQUEUE: "takes the request from its queue",
    Event.DEQUEUE_EMPTY: "finds its queue empty",
    Event.REFS: "stores the count of cores that must still take the request: {b}, in {word}",
    Event.CSD_UNLOCK: "unlocks the request: its owner may use it again",
    Event.RUN: "begins {func}",
    Event.RAN: "ends {func}",
    Event.COMPLETE: "tells the caller that the call is complete, by a store to {word}",
    Event.WOKEN: "sees that the call is complete, and stops waiting",
    Event.RESULT: "returns from the call",
    Event.LOCKED: "holds a lock",
    Event.LIST_DEL: "takes the request out of the list",
    Event.WARN: "warns: {warning}",
    Event.PANIC: "stops: it has reached a word that is not program",
    Event.FAULT: "stops: there is no memory at {address:#x}",
    Event.STACK_FAULT: "stops: its stack has run over or under",
    Event.OFFLINE: "leaves the cores that are online",
    ApicEvent.REFUSE: "tries to send interrupt {a:#x}, which is refused",
}


def story(violation, timeline, calls):
    """The steps of a violation, by clock, as plain data: clock, core, routine, label, source (file:line), text (of that line),
    sentence, and ``after``: it came later than the violation. The violation itself is not a step.

    violation : as from ``sim.oracles.oracle.Violation.to_json``.  timeline : Timeline.  calls : id -> call, as plain data.
    """
    concerned = [calls[name] for name in violation["calls"] if name in calls]
    ids = {call["id"] for call in concerned}
    cores = {*violation["cores"], *(core for call in concerned for core in (call["caller"], *_completers(call)))}
    clock = violation["clock"]
    chosen = list(_without_inner_calls(moment for moment in timeline.moments if moment.event in _SENTENCES and moment.core in cores
                                       and (moment.call in ids or not ids and moment.clock <= clock)))
    after = [moment for moment in chosen if moment.clock > clock][:_MOST // 4]
    before = [moment for moment in chosen if moment.clock <= clock]
    # Of many: how each call began, and the last moments.
    starts = [moment for moment in before if moment.event is Event.CALL][-_MOST // 4:]
    late = before[-(_MOST - len(after) - len(starts)):]
    before = [*(moment for moment in starts if moment.clock < late[0].clock), *late] if late else []
    steps = [_step(moment, timeline.image, calls, clock) for moment in (*before, *after)]
    return sorted([*steps, *_pauses(steps, timeline, cores, clock)], key=lambda step: step["clock"])


def _pauses(steps, timeline, cores, clock):
    """The steps of these cores that the schedule holds for long, from the first of these steps to the violation."""
    for pause in timeline.pauses:
        length = pause.end - pause.start
        if length >= _LONG and pause.core in cores and steps and steps[0]["clock"] <= pause.start <= clock:
            yield {"clock": pause.start, "core": pause.core, "call": None, "event": "HELD", **_place(pause.pc, timeline.image),
                   "sentence": f"is held by the schedule for {count(length, 'clock')}, before this word", "after": False}


def in_short(violation, calls):
    """If a call of the violation waits and was over too early: who said that it was complete, and which targets were not done;
    else "". calls : as for ``story``."""
    for call in (calls[name] for name in violation["calls"] if name in calls and calls[name]["wait"]):
        done = [(visit["complete"], core) for core, visit in call["per_target"].items()
                if visit["complete"] is not None and visit["complete"] <= violation["clock"]]
        said, by = max(done, default=(0, None))
        late = [(core, visit) for core, visit in call["per_target"].items() if visit["exit"] is None or visit["exit"] > said]
        if done and late:
            return " ".join((f"Core {by} told the caller at clock {said} that the call was complete.",
                             *(_unfinished(core, visit, said, call["func"]) for core, visit in late[:_MOST_TARGETS])))
    return ""


def _unfinished(core, visit, clock, func):
    if visit["entry"] is None or visit["entry"] > clock:
        return f"Core {core} had not begun {func} by then."
    end = "on" if visit["exit"] is None else f"to clock {visit['exit']}"
    return f"Core {core} was still running {func} then, from clock {visit['entry']} {end}."


def _without_inner_calls(moments):
    """A routine of the protocol may call another one for the same call."""
    begun = set()
    for moment in moments:
        if moment.event is not Event.CALL or moment.call is None or moment.call not in begun:
            yield moment
        if moment.event is Event.CALL:
            begun.add(moment.call)


def _completers(call):
    """The core whose completion the caller saw, or the last."""
    done = [(visit["complete"], int(core)) for core, visit in call["per_target"].items() if visit["complete"] is not None]
    return [max(done)[1]] if done else []


def _targets(call):
    if not (call and call["targets"]):
        return "nobody"
    return listing(call["targets"]) if len(call["targets"]) <= _MOST_TARGETS else count(len(call["targets"]), "core")


def _step(moment, image, calls, clock):
    call = calls.get(moment.call)
    late = max(0, moment.clock - clock)
    words = {
        "a": moment.a, "b": moment.b, "address": moment.address or 0,
        "word": "the arena" if moment.address is None else image.name_of(moment.address),
        "func": call["func"] if call else "the function",
        "targets": _targets(call),
        "wait": ", and will wait until they have" if call and call["wait"] else ", and will not wait",
        "warning": image.warnings.get(moment.pc, ("", "a warning"))[1],
    }
    return {
        "clock": moment.clock, "core": moment.core, "call": moment.call, "event": moment.event.name, **_place(moment.pc, image),
        "sentence": _SENTENCES[moment.event].format(**words) + (f", {count(late, 'clock')} later" if late else ""),
        "after": late > 0,
    }


def _place(pc, image):
    """The fields of a step about a word; all None if there is none."""
    line = None if pc is None else image.lines.get(pc)
    return {"routine": None if pc is None else image.routine(pc), "label": None if pc is None else image.label(pc),
            "source": line and f"{PurePath(line.file).name}:{line.line}", "text": line and line.text.strip()}
