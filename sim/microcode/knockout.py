"""Knock-out: a protocol without one of its named barriers or locks."""

from dataclasses import replace

from rtl.core.microword import Fence, MicroWord, Op
from rtl.memory.port import MemoryModel
from sim.errors import InputError
from sim.spelling import closest

__all__ = ["idle_barriers", "knock_out"]

#: Memory models -> the barriers that do something under them: loads are not reordered under any.
_USEFUL = {MemoryModel.SC: (), MemoryModel.TSO: (Fence.FULL,), MemoryModel.PSO: (Fence.FULL, Fence.WRITE)}


def idle_barriers(image, names, model):
    """Those of the names that stand for barriers which do nothing under a memory model -> the first model under which they could.

    image : the one that has them."""
    result = {}
    for name in names:
        words = [MicroWord.from_bits(image.words[address]) for address in image.names.get(name, ())]
        kinds = {Fence(word["imm"]) for word in words} if all(word["op"] is Op.FENCE for word in words) else ()
        if kinds and kinds.isdisjoint(_USEFUL[model]):
            result[name] = next((other.name.lower() for other, useful in _USEFUL.items() if not kinds.isdisjoint(useful)), None)
    return {name: other for name, other in result.items() if other}


def knock_out(image, names):
    """The image with every word that carries one of these names replaced by NOP. What the word says when it completes, and
    whether it is an entry point, stay. Raises InputError for a name that the protocol does not have."""
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
