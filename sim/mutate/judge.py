"""What a mutant is tried on, and what it takes to say that it was seen.

This is all that mutants know of runs, hunts, oracles and flags.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from rtl.memory.port import MemoryModel
from sim.engines.compiled import CompiledEngine
from sim.engines.compiled.many import Job, LaneEngine
from sim.engines.engine import Ending
from sim.errors import InputError
from sim.hunt import plan_of
from sim.monitor import ORACLE_OF_FLAG, clocks_of_flags
from sim.run import Prepared, patience_of, prepare, run
from sim.scenarios.reader import shipped_scenarios
from sim.schedules import contents_digest

from .mutants import Mutant, mutants_of

__all__ = ["Judge", "Verdict"]

#: No run is longer.
_LIMIT = 100_000
#: A mutant may take so many times longer than the protocol itself, and what it takes to see that it is stuck.
_LONGER = 3
#: The schedules of every scenario that are tried before the others of any: most of what a hunt finds, it finds soon.
_FIRST = 32
#: The straps under which a fence matters: TSO, PSO, and PSO with the fence that only the x2APIC's send path has. Everything else
#: shows itself, and is simpler to understand, under those of the scenario.
_BUFFERED = (
    {"memory_model": MemoryModel.TSO.value}, {"memory_model": MemoryModel.PSO.value},
    {"memory_model": MemoryModel.PSO.value, "x2apic": 1},
)
#: The flag that says of the others that they prove nothing.
_OVERFLOW = "overflow"
#: What kills a mutant whose run does not end.
_ENDLESS = "LIMIT"


@dataclass(frozen=True)
class Verdict:
    """How a mutant was seen.

    killed_by : an oracle; LIMIT: the run does not end; MISSING: a violation that the scenario expects does not come.
    scenario, memory : where.  run : number of the schedule, or None: in the scenario's own run.
    sentence : what was seen.
    """

    killed_by: str
    scenario: str
    memory: str
    run: int | None
    sentence: str


@dataclass(frozen=True)
class _Normal:
    """What the protocol itself does in a setting.

    oracles, clocks, as_expected : of the scenario's own run.  flags : that its hunt shows.  hunted : clocks of each run of it;
    empty if the scenario's own run does not come to rest: its hunt would show nothing but that.
    """

    oracles: frozenset
    clocks: int
    as_expected: bool
    flags: frozenset = frozenset()
    hunted: tuple[int, ...] = ()


@dataclass
class _Setting:
    """A scenario on a machine. buffered : for mutants of fences; else for the others."""

    buffered: bool
    prepared: Prepared
    mutants: Mapping[str, Mutant]
    normal: _Normal | None = field(default=None)

    @property
    def memory(self):
        """As people name it."""
        return self.prepared.settings.memory + (" x2apic" if self.prepared.settings.straps.x2apic else "")

    def with_mutant(self, name):
        """The Prepared in which the protocol has a fault."""
        image = self.mutants[name].applied()
        return replace(self.prepared, image=image, contents=replace(self.prepared.contents, microcode=image.words))


class Judge:
    """Tries mutants of a protocol on scenarios: in the run that ``crosscall run`` makes of each, then in a short hunt.

    A mutant is killed by what the protocol itself does not show there: an oracle in the run, a flag in the same hunt, a run that
    does not end. It is killed, too, if a violation that a scenario expects has gone for good: it does not come in the run, and in
    no schedule of the hunt, where the protocol shows it. (In the run alone, a clock more or less may be why.)

    Parameters
    ----------
    protocol : as ``prepare`` takes it.
    scenarios : names; none: the shipped ones that are made for the protocol.
    runs, first : how many schedules a hunt has, and the number of the first.

    Raises InputError.
    """

    def __init__(self, protocol, *, scenarios=(), runs, first=0):
        self._plans = {number: plan_of(number) for number in range(first, first + runs)}
        self._engines = {}
        self._settings = []
        made = {}                     # what assembling gave -> its mutants: the same for most scenarios
        own = {name: prepare(name, protocol=protocol) for name in scenarios} if scenarios else _made_for(protocol)
        for straps in (None, *_BUFFERED):
            for name, prepared in own.items():
                if straps is not None:
                    prepared = prepare(name, protocol=protocol, assignments=[f"{key}={value}" for key, value in straps.items()])
                key = prepared.image.words, prepared.settings.config.microcode_depth
                if key not in made:
                    made[key] = {mutant.id: mutant for mutant in mutants_of(prepared.image, room=key[1])}
                self._settings.append(_Setting(straps is not None, prepared, made[key]))

    @cached_property
    def mutants(self):
        """id -> Mutant, of all of them, in the order of the program; one that is not there in every scenario stands at the end. The
        numbers in a sentence are those of the first scenario that has it."""
        result = {}
        for setting in self._settings:
            result |= {
                name: mutant for name, mutant in setting.mutants.items() if name not in result}
        return result

    @property
    def identity(self):
        """What tells one Judge from another."""
        return {"runs": [min(self._plans), len(self._plans)],
                "settings": [[setting.prepared.scenario.name, setting.memory, contents_digest(setting.prepared.contents)]
                             for setting in self._settings]}

    @property
    def scenarios(self):
        return list(dict.fromkeys(setting.prepared.scenario.name for setting in self._settings))

    def build(self, mutants):
        """Build the engines for these mutants. Returns the numbers of the settings whose normal they need.

        Raises MissingToolError if there is no C compiler.
        """
        needed = [number for number, setting in enumerate(self._settings) if any(setting in self._where(name) for name in mutants)]
        for number in needed:
            config = self._settings[number].prepared.settings.config
            if config not in self._engines:
                self._engines[config] = CompiledEngine(config), LaneEngine(config)
        return needed

    def _where(self, name):
        return [setting for setting in self._settings if setting.buffered == self.mutants[name].fences and name in setting.mutants]

    # --- the protocol itself ----------------------------------------------------------------------------------------------

    def normal(self, number):
        """What the protocol itself does in a setting."""
        setting = self._settings[number]
        result = self._run(setting.prepared, _LIMIT)
        oracles = frozenset(item.oracle for item in result.violations)
        if result.ending is not Ending.QUIET:
            return _Normal(oracles, result.clocks, result.as_expected)
        flags, clocks = set(), []
        for outcome in self._hunt(setting.prepared, dict.fromkeys(self._plans, _LIMIT)):
            flags.update(_flags(outcome))
            clocks.append(outcome.clocks)
        return _Normal(oracles, result.clocks, result.as_expected, frozenset(flags), tuple(clocks))

    def learn(self, number, normal):
        """Take what ``normal`` has given, perhaps in another process."""
        self._settings[number].normal = normal

    # --- a mutant ---------------------------------------------------------------------------------------------------------

    def judge(self, name):
        """The Verdict on the mutant of this id, or None: it survives. All normals that it needs are known."""
        settings = self._where(name)
        quiet = []                    # where a violation that is expected has not come
        for setting in settings:
            verdict, missing = self._in_run(setting, name)
            if verdict is not None:
                return verdict
            if missing:
                quiet.append((setting, missing))
        numbers = list(self._plans)
        for setting, missing in quiet:
            verdict, shown = self._in_hunt(setting, name, numbers)
            if verdict is not None:
                return verdict
            gone = missing & _oracles(setting.normal.flags) - _oracles(shown)
            if gone:
                return Verdict("MISSING", setting.prepared.scenario.name, setting.memory, None,
                               f"{', '.join(sorted(gone))} is expected, and comes neither in the run nor in any schedule")
        for part in (numbers[:_FIRST], numbers[_FIRST:]):
            for setting in settings:
                verdict, _ = self._in_hunt(setting, name, part)
                if verdict is not None:
                    return verdict
        return None

    def _in_run(self, setting, name):
        """(Verdict or None, the oracles whose violation is expected and has not come) of the scenario's own run."""
        normal, scenario = setting.normal, setting.prepared.scenario
        result = self._run(setting.with_mutant(name), _limit(normal.clocks, patience_of(scenario)))
        oracles = {item.oracle for item in result.violations}
        if not oracles <= normal.oracles:
            first = next(item for item in result.violations if item.oracle not in normal.oracles)
            return Verdict(first.oracle, scenario.name, setting.memory, None, first.sentence), None
        if result.ending is Ending.LIMIT:
            return Verdict(_ENDLESS, scenario.name, setting.memory, None,
                           f"is not over after {result.clocks} clocks, where the protocol takes {normal.clocks}"), None
        return None, normal.oracles - oracles if normal.as_expected else None

    def _in_hunt(self, setting, name, numbers):
        """(Verdict or None, all flags that have been shown until then) of the runs with these numbers."""
        normal, scenario = setting.normal, setting.prepared.scenario
        if not normal.hunted:
            return None, set()
        shown, first = set(), min(self._plans)
        usual = {number: normal.hunted[number - first] for number in numbers}
        limits = {number: _limit(clocks, patience_of(scenario, self._plans[number])) for number, clocks in usual.items()}
        for number, outcome in zip(numbers, self._hunt(setting.with_mutant(name), limits), strict=True):
            flags = _flags(outcome)
            shown |= flags.keys()
            new = flags.keys() - normal.flags - {_OVERFLOW}
            if new:
                flag = min(new, key=flags.get)
                sentence = (f"the Monitor says {flag} at clock {flags[flag]}" if flag != _ENDLESS
                            else f"is not over after {outcome.clocks} clocks, where the protocol takes {usual[number]}")
                return Verdict(ORACLE_OF_FLAG.get(flag, flag), scenario.name, setting.memory, number, sentence), shown
        return None, shown

    def _run(self, prepared, limit):
        return run(prepared, engine=self._engines[prepared.settings.config][0], max_clocks=limit)

    def _hunt(self, prepared, limits):
        """The outcomes of the runs with these numbers -> clocks after which they are given up."""
        jobs = (Job({"plan": self._plans[number], "patience": patience_of(prepared.scenario, self._plans[number])}, limit)
                for number, limit in limits.items())
        return self._engines[prepared.settings.config][1].run_many(prepared.contents, prepared.settings.straps, jobs,
                                                                   max_clocks=_LIMIT)


def _flags(outcome):
    """Flag -> clock, and as if that were one, that a run of a hunt has not ended."""
    flags = clocks_of_flags(outcome.outputs["flags"])
    return flags | {_ENDLESS: outcome.clocks} if outcome.ending is Ending.LIMIT else flags


def _oracles(flags):
    return {ORACLE_OF_FLAG.get(flag) for flag in flags}


def _limit(clocks, patience):
    return min(_LIMIT, _LONGER * clocks + 2 * patience)


def _made_for(protocol):
    """Name -> Prepared of the shipped scenarios that the protocol can run: it has all their calls and functions."""
    found, refusal = {}, None
    for name in shipped_scenarios():
        try:
            found[name] = prepare(name, protocol=protocol)
        except InputError as error:
            refusal = error
    if not found:
        raise refusal
    return found
