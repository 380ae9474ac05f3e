"""A scenario: which core runs which commands, with which functions, on which machine. The format: docs/scenarios.md."""

import random
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path

from rtl.config import MachineConfig, Straps
from sim.errors import InputError
from sim.spelling import closest
from sim.texts import count, integer, shown

from .contracts import CONTRACTS
from .document import Document

__all__ = ["MESSAGES", "Command", "Scenario", "find_scenario", "is_shipped", "read_scenario", "shipped_scenarios"]

_FOLDER = Path(__file__).parent

_TOP = ("title", "protocol", "cores", "min_cores", "machine", "straps", "defines", "expect", "limits", "boot", "functions", "calls",
        "program")
_COMMAND = ("call", "func", "target", "mask", "wait", "at", "delay", "repeat", "nested", "frozen")

#: The keys that a call requires. Calls of the user's own protocol require none.
_NEEDS = {
    "single": "target", "csd": "target", "many": "mask",
    "cpu_up": "target", "cpu_down": "target", "cpu_up_canceled": "target",
}
#: The keys that each call of the shipped protocols uses. Those of the user's own protocol may use all.
_USES = {
    "single": ("func", "target", "wait", "nested"), "csd": ("func", "target", "wait", "nested"),
    "many": ("func", "mask", "wait", "nested"), "all": ("func", "wait", "nested"), "each": ("func", "wait", "nested"),
    "hold_call_lock": ("func", "nested"), "nothing": (),
    "cpu_up": ("target", "frozen"), "cpu_down": ("target", "frozen"), "cpu_up_canceled": ("target", "frozen"),
}
_ALWAYS = ("call", "at", "delay", "repeat")
#: The functions of the shipped protocols that make no call.
_PLAIN = ("nop", "work", "count", "touch", "clear_bit")
#: What is counted about the interrupt messages of a run (see ``sim.messages``).
MESSAGES = ("sent", "delivered", "merged", "refused", "nobody", "unaccepted")
#: Linux answers ENXIO to an absent core in smp_call_function_single(); everywhere else it is an error of the scenario.
_ANY_TARGET = ("single",)


@dataclass(frozen=True)
class Command:
    """One command of one core, with every choice made. ``target``, ``mask`` and ``nested`` are 0 where the call has none.

    like : the shipped call with the same contract; None: the one of its name.
    path : its place in the scenario's document.
    """

    call: str
    func: str
    target: int
    mask: int
    wait: bool
    at: int
    delay: int
    repeat: int
    nested: int
    frozen: bool
    like: str | None = None
    path: tuple = ()


@dataclass(frozen=True)
class Scenario:
    """A scenario for a machine with ``n_cores`` cores.

    Parameters
    ----------
    name : of the file, without folder and suffix.
    protocol : name of a shipped protocol, or path of a ``.uasm`` file.
    seed : of the random numbers.
    machine, straps : overrides of fields of MachineConfig and Straps.
    defines : constants for the assembler.
    expected : oracles that are expected to be violated, sorted.
    results : id of a call -> what it must return.  data : name of an arena word -> its required final value.
    messages : what is counted about messages -> the required number.
    patience, visits : limits of the watchdog and of O10; None: their defaults.
    online : mask of the cores that are online from the start.
    allocation_failures : bit ``16 - k`` is set if the k-th allocation for an arriving core fails.  kmalloc_failures : the same for
        allocations of calls.
    work : clocks that func ``work`` takes, by core.
    programs : commands, by core.
    bounds : (path in the document, largest value that the number there may take).
    idle : commands that no core has, which are checked all the same.
    remarks : probable mistakes: an InputError each, to report and not to raise.
    """

    name: str
    title: str
    protocol: str
    n_cores: int
    seed: int
    machine: Mapping[str, int]
    straps: Mapping[str, int]
    defines: Mapping[str, int]
    expected: tuple[str, ...]
    results: Mapping[str, int]
    data: Mapping[str, int]
    messages: Mapping[str, int]
    patience: int | None
    visits: int | None
    online: int
    allocation_failures: int
    kmalloc_failures: int
    work: tuple[int, ...]
    programs: tuple[tuple[Command, ...], ...]
    bounds: tuple[tuple[tuple, int], ...] = field(repr=False)
    idle: tuple[Command, ...] = field(compare=False, repr=False)
    remarks: tuple[InputError, ...] = field(compare=False, repr=False)
    document: Document = field(compare=False, repr=False)


def shipped_scenarios():
    """Names of the scenarios that come with crosscall."""
    return sorted(path.stem for path in _FOLDER.glob("*.toml"))


def find_scenario(name):
    """The path of a shipped scenario, or of the user's own ``.toml`` file (which may not exist)."""
    if str(name).endswith(".toml"):
        return Path(name)
    if name not in shipped_scenarios():
        raise InputError(f'there is no scenario "{name}"{closest(name, shipped_scenarios())} '
                         f"(shipped: {', '.join(shipped_scenarios())}; your own: a path that ends in .toml)")
    return _FOLDER / f"{name}.toml"


def is_shipped(scenario):
    """Whether a Scenario is a shipped one."""
    return scenario.document.path.parent == _FOLDER


def read_scenario(path, *, cores=None, seed, text=None):
    """Read and check a scenario.

    path : of the TOML file.  text : replaces its contents; the file then need not exist.
    cores : overrides the scenario's own.  seed : of the random choices.
    The same file, cores and seed give the same Scenario. Raises InputError.
    """
    return _Reader(Document(path, text), cores, seed).scenario()


class _Reader:
    def __init__(self, document, cores, seed):
        self.document = document
        self.root = document.root
        self.seed = seed
        self.random = random.Random(seed)
        self.bounds = []
        self.remarks = []
        self._remarked = set()
        self.root.only(_TOP)
        self.n_cores = self._n_cores(cores)
        self.all = (1 << self.n_cores) - 1
        self.calls = self._calls()

    def scenario(self):
        # The order of these calls is the order of the random draws: work by core, then the commands by core.
        title = self.root.get("title", str, self.document.path.stem)
        if not title.strip() or not title.isprintable():
            raise self.root.refusal("title", "must be one line of text")
        work = self._work()
        programs, idle = self._programs()
        return Scenario(
            name=self.document.path.stem,
            title=title,
            protocol=self._protocol(),
            n_cores=self.n_cores,
            seed=self.seed,
            machine=self._overrides("machine", MachineConfig),
            straps=self._overrides("straps", Straps),
            defines=self._overrides("defines", None),
            expected=self._expected(),
            results=self._expected_numbers("results", re.compile(r"\d+\.\d+"), 'calls, such as "0.2"', negative=True),
            data=self._expected_numbers("data", re.compile(r".+"), "words of the arena"),
            messages=self._expected_numbers("messages", re.compile("|".join(MESSAGES)), ", ".join(MESSAGES)),
            patience=self._limit("patience"),
            visits=self._limit("visits"),
            online=self._online(),
            allocation_failures=self._failures("allocations_fail"),
            kmalloc_failures=self._failures("kmalloc_fails"),
            work=work,
            programs=programs,
            bounds=tuple(self.bounds),
            idle=idle,
            remarks=tuple(self.remarks),
            document=self.document,
        )

    # Numbers

    def _number(self, table, key, default, *, at_least=0):
        """A whole number, or one drawn from "lo..hi"."""
        return self._choose(table, key, table.content.get(key, default), (*table.path, key), at_least)

    def _choose(self, table, key, value, path, at_least):
        if isinstance(value, str) and (limits := re.fullmatch(r"\s*(\d+)\s*\.\.\s*(\d+)\s*", value)):
            low, high = integer(limits[1]), integer(limits[2])
            if low > high:
                raise table.refusal(key, f'"{value}" is in the wrong order: write the smaller number first')
            value = self.random.randint(low, high)
        elif isinstance(value, int) and not isinstance(value, bool):
            low = high = value
        else:
            raise table.refusal(key, f'must be a whole number or a range such as "10..50", not {shown(value)}')
        if low < at_least:
            raise table.refusal(key, f"must be at least {at_least}, not {low}")
        self.bounds.append((path, high))
        return value

    def _whole(self, table, key, default, *, at_least):
        value = table.get(key, int, default)
        if value is not None and value < at_least:
            raise table.refusal(key, f"must be at least {at_least}, not {value}")
        return value

    # Cores

    def _n_cores(self, cores):
        own = self._whole(self.root, "cores", 4, at_least=1)
        least = self._whole(self.root, "min_cores", 1, at_least=1)
        self.own_cores = own
        if own > MachineConfig.MAX_CORES:
            raise self.root.refusal("cores", f"must be at most {MachineConfig.MAX_CORES}, not {own}")
        result = own if cores is None else cores
        if result < least:
            raise self.root.refusal("min_cores", f"says that the scenario needs at least {count(least, 'core')}, not {result}")
        return result

    def _has(self, table, key, core):
        """Refuse a core that the machine does not have."""
        if isinstance(core, bool) or not isinstance(core, int):
            raise table.refusal(key, f"must name cores by number, not {shown(core)}")
        if not 0 <= core < self.n_cores:
            raise table.refusal(key, f"names core {core}, but the machine has {self._cores_text()}")

    def _cores_text(self):
        return f"cores 0 to {self.n_cores - 1}" if self.n_cores > 1 else "core 0 only"

    def _core_list(self, table, key):
        """The cores of a list, in order."""
        cores = table.get(key, list)
        for index, core in enumerate(cores):
            self._has(table, key, core)
            if core in cores[:index]:
                raise table.refusal(key, f"names core {core} twice")
        return cores

    def _mask(self, table, key, core):
        """A mask: a list of cores, "all", or "others" (all but ``core``)."""
        value = table.content[key]
        if value == "all":
            return self.all
        if value == "others":
            return self.all & ~(1 << core)
        if not isinstance(value, list):
            raise table.refusal(key, f'must be a list of cores, "all" or "others", not {shown(value)}')
        return sum(1 << item for item in self._core_list(table, key))

    def _core(self, table, key, core, *, absent=False):
        """One core: a number, "self", or "next" (the core after ``core``, and 0 after the last)."""
        value = table.content[key]
        if value == "self":
            return core
        if value == "next":
            return (core + 1) % self.n_cores
        if isinstance(value, bool) or not isinstance(value, int):
            raise table.refusal(key, f'must be a core number, "self" or "next", not {shown(value)}')
        if absent and value >= 0:
            self.bounds.append(((*table.path, key), value))
        else:
            self._has(table, key, value)
        return value

    # Parts of the file

    def _protocol(self):
        """Another file's path is relative to the scenario that names it."""
        protocol = self.root.get("protocol", str, "v4")
        return str(self.document.path.parent / protocol) if protocol.endswith(".uasm") else protocol

    def _overrides(self, key, kind):
        """A table of whole numbers, and texts for fields that are texts: overrides of the fields of ``kind``, or (None) of any
        name."""
        table = self.root.table(key)
        if key == "machine" and "n_cores" in table:
            raise table.refusal("n_cores", "is written as cores, at the top of the file")
        if kind is not None:
            table.only([item.name for item in fields(kind) if item.name != "n_cores"])
        types = {} if kind is None else {item.name: item.type for item in fields(kind)}
        return {name: table.get(name, types.get(name, int)) for name in table.content}

    def _expected(self):
        table = self.root.table("expect")
        table.only(["violations", "results", "data", "messages"])
        violations = table.get("violations", list, [])
        for item in violations:
            if not isinstance(item, str):
                raise table.refusal("violations", f'must be a list of oracles such as "O1", not {shown(item)}')
        return tuple(sorted(set(violations)))

    def _expected_numbers(self, key, names, what, *, negative=False):
        """A table of names and their required numbers."""
        table = self.root.table("expect").table(key)
        for name in table.content:
            if not names.fullmatch(name):
                raise table.refusal(name, f"is not one of {what}")
        return {name: self._whole(table, name, None, at_least=-(1 << 63) if negative else 0) for name in table.content}

    def _limit(self, key):
        table = self.root.table("limits")
        table.only(["patience", "visits"])
        return self._whole(table, key, None, at_least=1)

    def _calls(self):
        """Calls of the user's own protocol -> the call with the same contract."""
        table = self.root.table("calls")
        for name in table.content:
            like = table.get(name, str)
            if name in CONTRACTS:
                raise table.refusal(name, "has a contract already")
            if like not in CONTRACTS:
                raise table.refusal(name, f'must name the call whose contract it has, not "{like}"{closest(like, CONTRACTS)} '
                                          f"(there are: {', '.join(CONTRACTS)})")
        return dict(table.content)

    def _online(self):
        table = self.root.table("boot")
        table.only(["online", "allocations_fail", "kmalloc_fails"])
        if "online" not in table:
            return self.all
        cores = self._core_list(table, "online")
        if 0 not in cores:
            raise table.refusal("online", "must contain core 0, which boots the machine")
        return sum(1 << core for core in cores)

    def _failures(self, key):
        table = self.root.table("boot")
        result = 0
        for number in table.get(key, list, []):
            if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number <= 16:
                raise table.refusal(key, f"counts allocations from 1 to 16, so it cannot contain {shown(number)}")
            result |= 1 << 16 - number
        return result

    def _work(self):
        """One number for all, or a list that is repeated until every core has one."""
        table = self.root.table("functions")
        table.only(["work"])
        if not isinstance(table.content.get("work"), list):
            return tuple(self._number(table, "work", 10) for _ in range(self.n_cores))
        values = table.content["work"]
        if not values:
            raise table.refusal("work", "must not be empty")
        if len(values) > max(self.n_cores, self.own_cores):
            self.remarks.append(table.refusal("work", f"has {count(len(values), 'entry')}, more than there are cores"))
        return tuple(self._choose(table, "work", values[core % len(values)], (*table.path, "work"), 0)
                     for core in range(self.n_cores))

    def _programs(self):
        """The commands of each core; and those that no core has."""
        tables = self.root.tables("program")
        if not tables:
            raise self.document.at_end("there is no [[program]], so no core has anything to do")
        owner = {}
        others = []
        for table in tables:
            table.only(["cores", "commands"])
            if not table.get("commands", list, []):
                raise self.document.refusal(table.path, "has no commands")
            cores = table.content.get("cores")
            if cores == "others":
                others.append(table)
                continue
            if cores == "all":
                cores = range(self.n_cores)
            elif isinstance(cores, list):
                cores = self._core_list(table, "cores")
                if not cores:
                    raise table.refusal("cores", "names no core")
            elif cores is None:
                raise self.document.refusal(table.path, 'does not say which cores it is for: cores = [0], "all" or "others"')
            else:
                raise table.refusal("cores", f'must be a list of cores, "all" or "others", not {shown(cores)}')
            for core in cores:
                if core in owner:
                    raise table.refusal("cores", f"gives core {core} a second program")
                owner[core] = table
        if len(others) > 1:
            raise others[1].refusal("cores", 'is "others" in a second program')
        programs = tuple(self._program(owner.get(core, others[0] if others else None), core) for core in range(self.n_cores))
        # Programs for cores that this machine lacks are read last, so that they do not change the random numbers of the others.
        idle = () if not others or len(owner) < self.n_cores else self._program(others[0], 0)
        if not any(programs):
            raise self.document.refusal(tables[0].path, "is for no core of this machine, so no core has anything to do")
        self._remark_offline(tables, programs)
        return programs, idle

    def _remark_offline(self, tables, programs):
        """Remark on a program for a core that is never brought online."""
        commands = [command for program in programs for command in program]
        if any(command.call not in _USES for command in commands):
            return
        online = self._online() | sum({1 << command.target for command in commands if command.call == "cpu_up"})
        for table in tables:
            cores = table.content["cores"]
            for core in cores if isinstance(cores, list) else ():
                if not online >> core & 1:
                    self.remarks.append(table.refusal("cores", f"has a program for core {core}, which never comes online"))

    def _program(self, table, core):
        if table is None:
            return ()
        return tuple(self._command(item, core) for item in table.tables("commands"))

    def _command(self, table, core):
        table.only(_COMMAND)
        call = table.get("call", str)
        if call is None:
            raise self.document.refusal(table.path, "has no call")
        needs = _NEEDS.get(call)
        if needs is not None and needs not in table:
            raise self.document.refusal(table.path, f'is a "{call}" call and needs a {needs}')
        func = table.get("func", str, "nop")
        if func == "nested" and "nested" not in table:
            raise self.document.refusal(table.path, 'has func "nested" and needs nested, the core that is called from it')
        wait = table.get("wait", bool, False)
        repeat = self._number(table, "repeat", 1, at_least=1)
        if call == "csd" and repeat > 1 and not wait:
            raise table.refusal("repeat", "needs wait = true: otherwise the caller's csd could be used twice at the same time")
        self._remark_unused(table, call, func)
        return Command(
            call=call,
            func=func,
            target=self._core(table, "target", core, absent=call in _ANY_TARGET) if "target" in table else 0,
            mask=self._mask(table, "mask", core) if "mask" in table else 0,
            wait=wait,
            at=self._number(table, "at", 0),
            delay=self._number(table, "delay", 0),
            repeat=repeat,
            nested=self._core(table, "nested", core) if "nested" in table else 0,
            frozen=table.get("frozen", bool, False),
            like=self.calls.get(call),
            path=table.path,
        )

    def _remark_unused(self, table, call, func):
        """Remark on keys that the call does not use; once, however many cores have the command."""
        for key in table.content:
            unused = key not in _ALWAYS and call in _USES and key not in _USES[call]
            remark = f'is ignored by "{call}"'
            if key == "nested" and not unused and func in _PLAIN:
                unused, remark = True, f'is ignored by func "{func}"'
            if unused and (*table.path, key) not in self._remarked:
                self._remarked.add((*table.path, key))
                self.remarks.append(table.refusal(key, remark))
