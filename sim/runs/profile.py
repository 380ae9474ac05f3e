"""A prepared run -> what its Monitor knows about it, and how much it must remember."""

from rtl.check.room import Room
from rtl.events import Event, Whom
from rtl.memory.port import MemoryModel
from sim.oracles import Places, make_oracles
from sim.scenarios.contracts import CONTRACTS

from .monitor import ORACLES_OF_FLAG, OVERFLOW, Profile

__all__ = ["profile_of", "room_of"]

#: What the Monitor needs besides the needs of a flag's oracle, because it knows the word only from events.
_NEEDS = {"unlock": {Event.CSD_LOCK}, "list": {Event.QUEUE}}
#: The most that a Monitor has room for.
_MOST = Room(obligations=8, csds=8)


def profile_of(config, image, *, straps=None, arena=None, visits=None):
    """The Profile of a run: the Monitor does not judge what the oracles cannot judge because something is missing.

    config, image, arena : as ``make_oracles`` takes them.  visits : its ``max_visits``.
    straps : of the machine; None: stores are visible at once.
    """
    oracles = {oracle.name: oracle for oracle in make_oracles(config, image, arena=arena, max_visits=visits)}
    said = image.events.keys()
    judged = {OVERFLOW} | {
        flag for flag, names in ORACLES_OF_FLAG.items()
        if _NEEDS.get(flag, set()) <= said and not all(name in oracles and oracles[name].lacks for name in names)}
    places = Places(image, arena)
    scope = {
        "locks": {"unlock", "owner"} <= judged and Event.CSD_LOCK in said,
        "calls": "owner" in judged and Event.RESULT in said,
        "links": "list" in judged,
        "takes": Event.LIST_DEL not in said,
    }
    prompt = not config.store_buffer_depth or straps is None or straps.memory_model == MemoryModel.SC.value
    return Profile(
        judged=frozenset(judged), visits=oracles["O10"].bound, online=Event.ONLINE in said,
        scope=frozenset(name for name, kept in scope.items() if kept),
        places=_places(image, places) if "touch" in judged and prompt else {})


def _places(image, places):
    payload = sorted(places.csd_payload(0))
    if payload != list(range(payload[0], payload[0] + len(payload))):
        return {}
    return {"payload": payload[0], "length": len(payload), "flags": places.lock | places.wait | places.alloc,
            "percpu": image.percpu_base, "shift": image.percpu_shift}


def room_of(scenario):
    """What the Monitor must remember for a core: its current call, one that a function of it makes, and those that it has requested
    without waiting. For calls whose csds the protocol owns, that is two of each kind: one runs while the other is queued."""
    return Room(obligations=max(map(_calls_at_a_time, scenario.programs)),
                csds=min(_MOST.csds, max(Room().csds, 3 + max(map(_own_csds, scenario.programs)))))


def _calls_at_a_time(program):
    kinds = {}
    for command in program:
        contract = CONTRACTS.get(command.like or command.call)
        if not command.wait and (contract is None or contract.whom is not Whom.NOBODY):
            kind = command.call if contract is None or command.call == "csd" else contract.whom
            kinds[kind] = kinds.get(kind, 0) + command.repeat
    asked = sum(count if isinstance(kind, str) else min(2, count) for kind, count in kinds.items())
    return min(_MOST.obligations, 2 + max(1, asked))


def _own_csds(program):
    return sum(command.call == "csd" for command in program)
