"""scftorture: random calls from every core at once, whose handlers and callers check what they see.

After the kernel's ``kernel/scftorture.c``: its operations and their weights, its checks (``scftorture.uasm``), hold-off, stutter,
long handlers, and cores that come and go. All random choices are made here, so the scenario records all of them.
"""

import random
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from statistics import median

from rtl.config import MachineConfig
from sim.errors import InputError
from sim.texts import count, integer

from .scenario import chosen, prepare_workload, scenario_text

__all__ = ["CHECKS", "OPERATIONS", "Torture", "summary", "weights_of"]


@dataclass(frozen=True)
class _Operation:
    """call, func : of its command.  wait : whether its caller waits.  whom : the command's other keys, for a core of a machine.
    weight : a function of the number of cores, as in the kernel."""

    call: str
    func: str | None
    wait: bool
    whom: str
    weight: object


def _single(cores):
    return 2 * cores


#: Name -> the operation, with the kernel's weights: one core's calls weigh as much as there are cores.
OPERATIONS = {
    "resched": _Operation("scf_resched", None, False, "target", _single),
    "single": _Operation("scf_single", "scf_one", False, "target", _single),
    "rpc": _Operation("scf_rpc", "scf_rpc", False, "target", _single),
    "single_wait": _Operation("scf_single", "scf_one", True, "target", _single),
    "many": _Operation("scf_many", "scf_many", False, "mask", lambda cores: 2),
    "many_wait": _Operation("scf_many", "scf_many", True, "mask", lambda cores: 2),
    "all": _Operation("scf_all", "scf_many", False, "", lambda cores: 1),
    "all_wait": _Operation("scf_all", "scf_many", True, "", lambda cores: 1),
}
#: Call -> the shipped call whose contract it has.
_CALLS = {"scf_single": "single", "scf_rpc": "single", "scf_many": "many", "scf_all": "all", "scf_resched": "nothing",
          "scf_stutter": "nothing"}
#: The kernel's counter -> its WARN in ``scftorture.uasm``.
CHECKS = {"n_errs": "scf_cpu", "n_mb_in_errs": "scf_in", "n_mb_out_errs": "scf_out"}
#: A bit of the clock; the clock has at least 16.
_MOST_STUTTER = 1 << 15
#: One operation in this many is followed by a sleep of this many clocks (the kernel's jiffy).
_SLEEPS, _JIFFY = 16, 256


@dataclass(frozen=True)
class Torture:
    """What to run.

    cores, seed : of the machine, and of all random choices.  calls : operations of each core.
    weights : of OPERATIONS; they replace the kernel's.
    holdoff : clocks before the first call.  stutter : clocks of work, and then of rest; a power of two, or 0: no rest.
    long : one handler in this many is long; 0: none.  long_clocks : its maximum length.
    onoff : clocks between cores that leave or come back; 0: all stay. Otherwise core 0 does nothing else.
    """

    cores: int
    seed: int
    calls: int = 16
    weights: dict = field(default_factory=dict)
    holdoff: int = 0
    stutter: int = 0
    long: int = 16
    long_clocks: int = 500
    onoff: int = 0

    def __post_init__(self):
        if self.stutter & (self.stutter - 1) or self.stutter > _MOST_STUTTER:
            raise InputError(f"--stutter {self.stutter}: must be a power of two up to {_MOST_STUTTER}, or 0")
        if self.calls * self.cores > MachineConfig.MAX_ARENA:
            raise InputError(f"--calls {self.calls}: no arena has room for as many on each of {count(self.cores, 'core')}")
        if not any(self.weight.values()):
            raise InputError("--weight: nothing has a weight, so there is nothing to do")
        if self.onoff and self.cores < 2:
            raise InputError("--onoff: needs two cores, since the first one stays")

    @property
    def weight(self):
        """Operation -> its weight."""
        return {name: self.weights.get(name, operation.weight(self.cores)) for name, operation in OPERATIONS.items()}

    def prepare(self, path, **options):
        """Write the scenario to a file and prepare it. options : as ``prepare`` takes them. Raises InputError."""
        programs, work = self._programs()
        tables = {"defines": {"SCFTORTURE": 1, "SCF_STUTTER": self.stutter}, "calls": _CALLS, "functions": {"work": work}}
        comment = [f"What crosscall scftorture has drawn with seed {self.seed}; docs/workloads.md."]
        return prepare_workload(path, lambda depth: scenario_text(
            comment, f"scftorture: {count(self.cores, 'core')}, seed {self.seed}", self.cores, programs, tables=tables,
            arena_depth=depth), **options)

    def _programs(self):
        """(core -> its commands, clocks of a long handler by core)."""
        chance = random.Random(self.seed)
        work = [chance.randint(1, max(1, self.long_clocks)) for _ in range(self.cores)]
        return {core: list(self._hotplug(chance) if self.onoff and core == 0 else self._torture(chance))
                for core in range(self.cores)}, work

    def _torture(self, chance):
        names, weights = zip(*self.weight.items(), strict=True)
        first = {"at": self.holdoff} if self.holdoff else {}
        for name in chance.choices(names, weights, k=self.calls):
            operation = OPERATIONS[name]
            if self.stutter:
                yield {"call": "scf_stutter", **first}
                first = {}
            command = {"call": operation.call, **first}
            first = {}
            if operation.func:
                long = self.long and not chance.randrange(self.long)
                command["func"] = f"{operation.func}_long" if long else operation.func
            if operation.whom == "target":
                command["target"] = chance.randrange(self.cores)
            elif operation.whom == "mask":
                command["mask"] = "all"           # the kernel passes cpu_online_mask, its own core included
            if operation.wait:
                command["wait"] = True
            if not chance.randrange(_SLEEPS):
                command["delay"] = _JIFFY
            yield command

    def _hotplug(self, chance):
        at = self.holdoff
        for _ in range(max(1, self.calls // 4)):
            target = chance.randrange(1, self.cores)
            for call in ("cpu_down", "cpu_up"):
                at += self.onoff
                yield {"call": call, "target": target, "at": at}


def weights_of(texts):
    """``rpc=0`` of ``--weight`` -> operation and weight. Raises InputError."""
    weights = {}
    for text in texts:
        name, _, number = text.partition("=")
        chosen("--weight", [name], OPERATIONS)
        if not number.isascii() or not number.isdecimal():
            raise InputError(f"--weight {text}: must be written as {name}=NUMBER")
        weights[name] = integer(number)
    return weights


def _operation(call):
    """The name of the operation that a call of a result is."""
    if call["func"].startswith("func_scf_rpc"):
        return "rpc"
    many = call["func"].startswith("func_scf_many")
    name = ("all" if call["name"] == "all" else "many") if many else "single"
    return f"{name}_wait" if call["wait"] else name


def summary(torture, result):
    """The result of a run, as plain data.

    operations : name -> how many there were, how many found their target offline (ENXIO), latency in clocks: median and maximum.
    errors : the kernel's counters.  verdict : the text of its last line.
    violations : the violated oracles; what they see and the kernel's checks do not.
    """
    latencies, offline = defaultdict(list), Counter()
    for call in result.to_json()["calls"]:
        name = _operation(call)
        if call["result"]:
            offline[name] += 1
        elif call["latency"] is not None:
            latencies[name].append(call["latency"])
    said = [item.sentence for item in result.violations if item.oracle == "WARN"]
    errors = {counter: sum(f": {name}: " in sentence for sentence in said) for counter, name in CHECKS.items()}
    return {
        "protocol": result.prepared.image.path.stem, "cores": torture.cores, "seed": torture.seed,
        "memory": result.prepared.settings.memory, "without": list(result.prepared.without), "clocks": result.clocks,
        "ending": result.ending.value, "engine": result.engine,
        "operations": {name: {"weight": weight, "calls": len(latencies[name]), "offline": offline[name],
                              "median": median(latencies[name]) if latencies[name] else None,
                              "most": max(latencies[name], default=None)} for name, weight in torture.weight.items()
                       if name != "resched"},
        "errors": errors, "unfinished": list(result.unfinished),
        "verdict": "FAILURE" if any(errors.values()) or result.unfinished else "SUCCESS",
        "violations": sorted({item.oracle for item in result.violations}), "ok": result.ok,
    }
