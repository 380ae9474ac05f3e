"""A scenario and an assembled protocol -> the initial contents of the memories."""

from contextlib import suppress

from amaranth.utils import ceil_log2

from sim.engines.engine import Contents
from sim.errors import InputError
from sim.spelling import closest
from sim.texts import count, shown

from .contracts import contract_of

__all__ = ["OPTIONAL", "TooManyWords", "contents"]

#: Parts of a protocol that most scenarios do not use: constant -> what is missing if it is 0.
OPTIONAL = {"CONFIG_HOTPLUG_CPU": "cpu_down", "CALLING": "functions that call"}


class TooManyWords(InputError):
    """The microcode store is too small for the image. ``optional``: the image's parts that may be left out (``OPTIONAL``)."""

    def __init__(self, image, depth):
        self.optional = tuple(name for name in OPTIONAL if image.constants.get(name))
        advice = [f"--set microcode_depth={1 << ceil_log2(len(image.words))}",
                  *(f"--set define.{name}=0 leaves out {what}" for name, what in OPTIONAL.items() if name in self.optional)]
        super().__init__(f"the protocol has {count(len(image.words), 'microword')}, but the machine stores {depth} "
                         f"({'; '.join(advice)})",
                         file=image.path)


#: The fields of the protocol's ``struct command``, and their sources. Others are the protocol's own, and start as 0.
_FIELDS = {
    "routine": lambda command, image: image.symbols[f"cmd_{command.call}"],
    "func": lambda command, image: image.symbols[f"func_{command.func}"],
    "target": lambda command, image: command.target,
    "mask": lambda command, image: command.mask,
    "wait": lambda command, image: int(command.wait),
    "at": lambda command, image: command.at,
    "delay": lambda command, image: command.delay,
    "repeat": lambda command, image: command.repeat,
    "nested": lambda command, image: command.nested,
    "frozen": lambda command, image: image.constants.get("CPU_TASKS_FROZEN", 1) if command.frozen else 0,
    "data": lambda command, image: 0,
}
#: The field with what a call owes. A protocol with its own command loop may lack it; then none of its calls is judged.
_CONTRACT = "contract"


def contents(scenario, image, config):
    """The Contents of a machine of this config that runs ``scenario`` with the protocol ``image``.

    The command blocks are on the heap, core after core, each list ended by a block of zeros; ``program[core]`` holds where it
    starts. Raises InputError if the protocol lacks something that the scenario uses, or if it does not fit the machine.
    """
    assert (image.n_cores, image.xlen) == (scenario.n_cores, config.xlen) == (config.n_cores, image.xlen)
    image.check_registers(config)
    _check_numbers(scenario, config.xlen)
    offsets = _offsets(image)
    arena = dict(image.arena)
    address = image.heap
    for core, program in enumerate(scenario.programs):
        arena[_object(image, f"program[{core}]")] = address
        arena[_object(image, f"work_clocks[{core}]")] = scenario.work[core]
        for command in program:
            _check_entry(scenario, command, image, "call", "cmd_")
            _check_entry(scenario, command, image, "func", "func_")
            for name, offset in offsets.items():
                arena[address + offset] = (contract_of(command, core, image).encode() if name == _CONTRACT
                                           else _FIELDS[name](command, image))
            address += image.structs["command"].size
        address += image.structs["command"].size
    for command in scenario.idle:
        _check_entry(scenario, command, image, "call", "cmd_")
        _check_entry(scenario, command, image, "func", "func_")
    arena[_object(image, "boot_online")] = scenario.online
    for name in ("allocation_failures", "kmalloc_failures"):
        with suppress(KeyError):      # nothing can fail in a protocol that allocates nothing
            arena[image.address_of(name)] = getattr(scenario, name)
    _check_fit(scenario, image, config, address)
    return Contents(microcode=image.words, arena=arena)


def _offsets(image):
    """Field -> offset of ``struct command``."""
    if "command" not in image.structs:
        raise InputError("the protocol does not declare struct command, which the cores' programs consist of", file=image.path)
    offsets = {}
    for item in image.structs["command"].fields:
        # The mask may be a struct: it begins with its first word.
        offsets.setdefault(item.path.split(".")[0], item.offset)
    for name in _FIELDS:
        if name not in offsets:
            raise InputError(f"struct command of the protocol has no field {name} (needed: {', '.join(_FIELDS)})", file=image.path)
    return {name: offsets[name] for name in (*_FIELDS, _CONTRACT) if name in offsets}


def _object(image, name):
    try:
        return image.address_of(name)
    except KeyError:
        raise InputError(f"the protocol does not declare {name}, which scenarios need", file=image.path) from None


def _check_numbers(scenario, xlen):
    for path, value in scenario.bounds:
        if value >> xlen:
            what = f"{shown(value)} does not fit the {xlen} bits of a word"
            raise scenario.document.refusal(path, f"is too large: {what} (a wider machine: --set xlen={min(2 * xlen, 64)})")


def _check_entry(scenario, command, image, key, prefix):
    name = getattr(command, key)
    if prefix + name not in image.entries:
        known = sorted(entry.removeprefix(prefix) for entry in image.entries if entry.startswith(prefix))
        # A func that the scenario omits is not in the file: point at the command.
        path = (*command.path, key) if scenario.document.has((*command.path, key)) else command.path
        raise scenario.document.refusal(path, f'names the {key} "{name}", which the protocol {image.path.name} does not have'
                                              f"{closest(name, known)} (it has: {', '.join(known)})")


def _check_fit(scenario, image, config, arena_words):
    if len(image.words) > config.microcode_depth:
        raise TooManyWords(image, config.microcode_depth)
    if arena_words > config.arena_depth:
        depth = 1 << ceil_log2(arena_words)
        larger = f"--set arena_depth={depth}" if depth <= config.MAX_ARENA else "and none has as many: use fewer cores or commands"
        raise InputError(f"the scenario and its protocol need {count(arena_words, 'word')} of arena, but the machine has "
                         f"{config.arena_depth} ({larger})", file=scenario.document.path)
