"""Knock-out: a protocol without one of its named barriers or locks."""

from dataclasses import replace

from rtl.core.microword import Fence, MicroWord, Op
from rtl.memory.port import MemoryModel
from sim.errors import InputError
from sim.spelling import closest

__all__ = ["idle_barriers", "knock_out", "useful_under"]

#: Memory models -> the barriers that have an effect under them: no model reorders loads.
_USEFUL = {MemoryModel.SC: (), MemoryModel.TSO: (Fence.FULL,), MemoryModel.PSO: (Fence.FULL, Fence.WRITE)}


def useful_under(image, name):
    """The memory models under which a named barrier or lock has an effect, the strongest first. A lock has one under all."""
    words = [MicroWord.from_bits(image.words[address]) for address in image.names.get(name, ())]
    if any(word["op"] is not Op.FENCE for word in words):
        return tuple(_USEFUL)
    kinds = {Fence(word["imm"]) for word in words}
    return tuple(model for model, useful in _USEFUL.items() if not kinds.isdisjoint(useful))


def idle_barriers(image, names, model):
    """The names of barriers that do nothing under a memory model -> the first model under which they could.

    image : it has them."""
    useful = {name: useful_under(image, name) for name in names}
    return {name: models[0].name.lower() for name, models in useful.items() if models and model not in models}


def knock_out(image, names):
    """The image with every word that carries one of these names replaced by NOP. The word's event, and whether it is an entry
    point, stay. Raises InputError for a name that the protocol does not have."""
    words = list(image.words)
    for name in names:
        if name not in image.names:
            raise InputError(f"the protocol has no barrier or lock named {name}{closest(name, image.names)} "
                             f"(it has: {', '.join(sorted(image.names))})", file=image.path)
        for address in image.names[name]:
            word = MicroWord.from_bits(words[address])
            kept = {"op": Op.NOP, "ra": word["ra"], "rb": word["rb"], "event": word["event"], "entry": word["entry"]}
            words[address] = MicroWord.const(kept).as_bits()
    return replace(image, words=tuple(words))
