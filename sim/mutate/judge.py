"""What a mutant is tried on, and what counts as having seen it.

Only this file of ``sim/mutate/`` knows about runs, hunts, oracles and flags.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from math import comb

from rtl.memory.port import MemoryModel
from sim.engines.engine import Ending
from sim.engines.spec import EngineSpec
from sim.errors import InputError
from sim.hunt.work import house, plan_of
from sim.oracles.expectations import Expectations
from sim.runs.description import contents_digest
from sim.runs.monitor import ORACLES_OF_FLAG, proven
from sim.runs.prepare import Prepared, prepare
from sim.runs.run import run
from sim.scenarios.reader import shipped_scenarios
from sim.texts import count

from .mutants import Mutant, mutants_of

__all__ = ["Judge", "Verdict"]

#: The longest run.
_LIMIT = 100_000
#: A mutant may take this many times as long as the protocol itself, plus the time to see that it is stuck.
_LONGER = 3
#: Schedules that are tried on every scenario before the rest: most finds of a hunt come early.
_FIRST = 32
#: Schedules of every scenario that the oracles judge if the Monitor, which sees less, has seen nothing in any. One of each kind.
_JUDGED = 4
#: Where a fence matters: (memory model, mode of the APICs). In x2APIC mode the send path has a fence of its own. All other faults
#: show under the straps of the scenario, and are easier to understand there.
_BUFFERED = ((MemoryModel.TSO, 0), (MemoryModel.PSO, 0), (MemoryModel.TSO, 1), (MemoryModel.PSO, 1))
#: What kills a mutant whose run does not end.
_ENDLESS = "LIMIT"


@dataclass(frozen=True)
class Verdict:
    """How a mutant was seen.

    killed_by : an oracle; LIMIT: the run does not end; MISSING: a violation that the scenario expects does not come.
    scenario, memory : where.  run : number of the schedule; None: in the scenario's own run.
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

    oracles, clocks, as_expected : of the scenario's own run.  rests : whether that run comes to rest.
    flags : flag -> how many runs of its hunt show it.  hunted : clocks of each of those runs.
    """

    oracles: frozenset
    clocks: int
    as_expected: bool
    rests: bool
    flags: Counter
    hunted: tuple[int, ...]

    def to_json(self):
        return {**vars(self), "oracles": sorted(self.oracles)}

    @classmethod
    def from_json(cls, parts):
        return cls(**{**parts, "oracles": frozenset(parts["oracles"]), "flags": Counter(parts["flags"]),
                      "hunted": tuple(parts["hunted"])})


@dataclass(eq=False)
class _Setting:
    """A scenario on a machine. buffered : for mutants of fences; else for all others."""

    buffered: bool
    prepared: Prepared
    mutants: Mapping[str, Mutant]
    normal: _Normal | None = field(default=None)

    @cached_property
    def machine(self):
        """The EngineSpec of its machine."""
        return EngineSpec(self.prepared.run.config, "compiled", self.prepared.room, many=True)

    @property
    def memory(self):
        """The memory model, as displayed."""
        return self.prepared.settings.memory + (" x2apic" if self.prepared.settings.straps.x2apic else "")

    def with_mutant(self, name):
        """The Prepared whose protocol has a fault."""
        image = self.mutants[name].applied()
        return replace(self.prepared, image=image, contents=replace(self.prepared.contents, microcode=image.words))


class Judge:
    """Tries mutants of a protocol on scenarios: in the run that ``crosscall run`` makes of each, then in a short hunt. At last the
    oracles judge some schedules of that hunt.

    A mutant is killed by what the protocol itself does not show: an oracle in the run of the same scenario, a flag in a hunt, a run
    that does not end. A flag that the protocol's own hunts show counts only if it comes so much more often than in the same hunt of
    the protocol that chance does not explain it. An expected violation kills by its absence only if it has gone for good: it comes
    neither in the run nor in any schedule of the hunt.

    Parameters
    ----------
    protocol : as ``prepare`` takes it.
    scenarios : names; none: the shipped ones for this protocol.
    runs, first : how many schedules a hunt has, and the number of the first.

    Raises InputError.
    """

    def __init__(self, protocol, *, scenarios=(), runs, first=0):
        self._plans = {number: plan_of(number) for number in range(first, first + runs)}
        self._engines = {}
        self._own = {}                # setting -> own_oracles
        self._settings = []
        made = {}                     # result of the assembler -> its mutants: the same for most scenarios
        own = {name: prepare(name, protocol=protocol) for name in scenarios} if scenarios else _made_for(protocol)
        modes = [{name: prepare(name, protocol=protocol, assignments=[f"x2apic={mode}"]) for name in own} for mode in (0, 1)]
        for buffered, machines in [(False, own), *((True, _under(model, modes[mode])) for model, mode in _BUFFERED)]:
            for prepared in machines.values():
                key = prepared.image.words, prepared.settings.config.microcode_depth
                if key not in made:
                    made[key] = {mutant.id: mutant for mutant in mutants_of(prepared.image, room=key[1])}
                self._settings.append(_Setting(buffered, prepared, made[key]))

    @cached_property
    def mutants(self):
        """id -> Mutant, of all mutants, in the order of the program; those that some scenario lacks come last. The numbers in a
        sentence are those of the first scenario that has the mutant."""
        result = {}
        for setting in self._settings:
            result |= {name: mutant for name, mutant in setting.mutants.items() if name not in result}
        return result

    @property
    def identity(self):
        """What distinguishes one Judge from another."""
        return {"runs": [self.numbers[0], len(self.numbers)],
                "settings": [[setting.prepared.scenario.name, setting.memory, _digest(setting.prepared)]
                             for setting in self._settings]}

    @property
    def numbers(self):
        """The numbers of the runs of a hunt."""
        return list(self._plans)

    @property
    def scenarios(self):
        return list(dict.fromkeys(setting.prepared.scenario.name for setting in self._settings))

    def build(self, mutants):
        """Build the engines for these mutants. Returns the numbers of the settings whose normal they need and nobody knows.

        Raises MissingToolError without a C compiler.
        """
        where = {setting for name in mutants for setting in self._where(name)}
        needed = [number for number, setting in enumerate(self._settings) if setting in where]
        for number in needed:
            machine = self._settings[number].machine
            if machine not in self._engines:
                self._engines[machine] = machine.make()
        return [number for number in needed if self._settings[number].normal is None]

    def _where(self, name):
        return [setting for setting in self._settings if setting.buffered == self.mutants[name].fences and name in setting.mutants]

    # --- the protocol itself ----------------------------------------------------------------------------------------------

    def normal(self, number):
        """What the protocol itself does in a setting."""
        setting = self._settings[number]
        result = self._run(setting, setting.prepared, _LIMIT)
        oracles = frozenset(item.oracle for item in result.violations)
        flags, clocks = Counter(), []
        for _, outcome in self.hunt(setting, setting.prepared, self.numbers):
            flags.update(list(_flags(outcome)))
            clocks.append(outcome.clocks)
        return _Normal(oracles, result.clocks, result.as_expected, result.ending is Ending.QUIET, flags, tuple(clocks))

    def own_flags(self, setting):
        """The flags that the protocol itself shows in hunts like that of a setting: in this one, and in all where it comes to rest.
        Where it does not, it is stuck whatever the schedule; elsewhere that would be news."""
        return {flag for other in self._settings if other.buffered == setting.buffered and other.normal is not None
                and (other is setting or other.normal.rests) for flag in other.normal.flags}

    def learn(self, number, normal):
        """Store what ``normal`` returned, perhaps in another process."""
        self._settings[number].normal = normal

    @property
    def normals(self):
        """What is known of the protocol itself, as JSON data."""
        return {"house": house(), "settings": {number: setting.normal.to_json() for number, setting in enumerate(self._settings)
                                               if setting.normal is not None}}

    def recall(self, normals):
        """Store the ``normals`` of a Judge with the same identity. Those of another version of crosscall are ignored: its machine
        may take other clocks, its checks may see other things."""
        if normals["house"] == house():
            for number, normal in normals["settings"].items():
                self.learn(int(number), _Normal.from_json(normal))

    # --- a mutant ---------------------------------------------------------------------------------------------------------

    def judge(self, name):
        """The Verdict on the mutant of this id; None: it survives. All normals that it needs are known."""
        settings = self._where(name)
        hunts = []
        for setting in settings:
            verdict, missing = self._in_run(setting, name)
            if verdict is not None:
                return verdict
            # Where the protocol itself is stuck, a hunt shows nothing but that; unless the mutant is not.
            if setting.normal.rests or missing:
                hunts.append(_Hunt(self, setting, name, missing))
        # A hunt is likelier to show more where something has changed already.
        for hunt, part in [*((hunt, None) for hunt in hunts if hunt.missing),
                           *((hunt, _FIRST) for hunt in hunts), *((hunt, None) for hunt in hunts)]:
            verdict = hunt.until(part)
            if verdict is not None:
                return verdict
        return next(filter(None, (hunt.by_oracles() for hunt in hunts)), None)

    def _in_run(self, setting, name):
        """(Verdict or None, the expected oracles that are not violated) of the scenario's own run."""
        normal, scenario = setting.normal, setting.prepared.scenario
        result = self._run(setting, setting.with_mutant(name), _limit(normal.clocks, setting.prepared.patience))
        oracles = {item.oracle for item in result.violations}
        if not oracles <= normal.oracles:
            first = next(item for item in result.violations if item.oracle not in normal.oracles)
            return Verdict(first.oracle, scenario.name, setting.memory, None, first.sentence), set()
        if result.ending is Ending.LIMIT:
            return Verdict(_ENDLESS, scenario.name, setting.memory, None,
                           f"does not end within {count(result.clocks, 'clock')}; the protocol takes {normal.clocks}"), set()
        return None, normal.oracles - oracles if normal.as_expected else set()

    def _run(self, setting, prepared, limit):
        return run(prepared.under(max_clocks=limit), engine=self._engines[setting.machine])

    @property
    def judged(self):
        """The numbers of the runs of a hunt that the oracles judge."""
        return self.numbers[:_JUDGED]

    def violations(self, setting, number, name=None):
        """The violations in a run of a hunt: of the mutant of this id, or of the protocol itself. Without EXPECT: what a scenario
        expects is about its own run."""
        prepared = setting.prepared if name is None else setting.with_mutant(name)
        prepared = prepared.under(plan=self._plans[number])
        result = self._run(setting, prepared, _limit(setting.normal.hunted[number - self.numbers[0]], prepared.patience))
        return [item for item in result.violations if item.oracle != Expectations.name]

    def own_oracles(self, setting):
        """The oracles that the protocol itself violates: in hunts like that of a setting, as far as flags tell; in the run of any
        scenario; and in the hunt of this setting, all of whose runs the oracles judge."""
        if setting not in self._own:
            flagged = {oracle for flag in self.own_flags(setting) for oracle in ORACLES_OF_FLAG.get(flag, ())}
            runs = {oracle for other in self._settings if other.normal is not None for oracle in other.normal.oracles}
            here = {item.oracle for number in self.numbers for item in self.violations(setting, number)}
            self._own[setting] = frozenset(flagged | runs | here)
        return self._own[setting]

    def hunt(self, setting, prepared, numbers):
        """(number, Outcome) of the runs with these numbers."""
        def jobs():
            # The Monitor gets the protocol's profile, not the mutant's own.
            told = setting.prepared.jobs(self._plans[number] for number in numbers)
            for number, job in zip(numbers, told, strict=True):
                limit = _LIMIT if setting.normal is None else _limit(setting.normal.hunted[number - self.numbers[0]], job.patience)
                yield replace(job, contents=prepared.contents, max_clocks=limit)

        return zip(numbers, self._engines[setting.machine].run_many(jobs()), strict=True)


class _Hunt:
    """The hunt of a mutant in one setting, run in parts. missing : oracles that its run should have violated but did not."""

    def __init__(self, judge, setting, name, missing):
        self.missing = missing
        self._judge, self._setting, self._name = judge, setting, name
        self._shown = {}              # flag -> the runs that show it
        self._done = 0

    def until(self, end):
        """Continue until ``end`` runs are done, or all of them; the Verdict, if there is one."""
        part = self._judge.numbers[self._done:end]
        if not part:
            return None
        self._done += len(part)
        own = self._judge.own_flags(self._setting)
        for number, outcome in self._judge.hunt(self._setting, self._setting.with_mutant(self._name), part):
            flags = _flags(outcome)
            for flag in flags:
                self._shown.setdefault(flag, []).append(number)
            new = flags.keys() - own
            if new:
                flag = min(new, key=flags.get)
                return self._verdict(flag, f"the Monitor flags {flag} at clock {flags[flag]}" if flag != _ENDLESS else
                                     f"does not end within {count(outcome.clocks, 'clock')}")
        return self._compare() if self._done == len(self._judge.numbers) else None

    def by_oracles(self):
        """The Verdict of the oracles on some of the schedules, if there is one. It takes long."""
        for number in self._judge.judged:
            for item in self._judge.violations(self._setting, number, self._name):
                if item.oracle not in self._judge.own_oracles(self._setting):
                    return Verdict(item.oracle, self._setting.prepared.scenario.name, self._setting.memory, number, item.sentence)
        return None

    def _compare(self):
        """The protocol has defects of its own, which any change of timing may show or hide: what counts is how often they show."""
        normal, of = self._setting.normal.flags, len(self._judge.numbers)
        for flag in self._judge.own_flags(self._setting):
            here, there = len(self._shown.get(flag, ())), normal[flag]
            if _more_often(here, there):
                return self._verdict(flag, f"the Monitor flags {flag} in {here} of {count(of, 'run')}, of the protocol in {there}")
            missing = self.missing & set(ORACLES_OF_FLAG.get(flag, ()))
            if missing and not here and _more_often(there, here):
                sentence = f"{min(missing)} is expected, but comes neither in the run nor in any of {count(of, 'schedule')}"
                return replace(self._verdict(flag, f"{sentence}; the protocol shows it in {there}"), killed_by="MISSING", run=None)
        return None

    def _verdict(self, flag, sentence):
        return Verdict(" or ".join(ORACLES_OF_FLAG.get(flag, (flag,))), self._setting.prepared.scenario.name, self._setting.memory,
                       min(self._shown.get(flag, ()), default=None), sentence)


def _more_often(here, there):
    """Whether a difference between two counts, each out of the same number of runs, is significant: by chance alone it would come
    at most once in a million."""
    both = here + there
    return sum(comb(both, count) for count in range(here, both + 1)) * 1_000_000 < 1 << both


def _flags(outcome):
    """Flag -> clock; a run of a hunt that has not ended counts as a flag too."""
    flags = proven(outcome.flags)
    return flags | {_ENDLESS: outcome.clocks} if outcome.ending is Ending.LIMIT else flags


def _limit(clocks, patience):
    return min(_LIMIT, _LONGER * clocks + 2 * patience)


def _digest(prepared):
    """Identifies what a setting runs, and what is expected of it."""
    run = prepared.run
    return hashlib.sha256(json.dumps([contents_digest(prepared.contents), asdict(run.config), asdict(run.straps), prepared.patience,
                                      prepared.scenario.visits, sorted(prepared.expected)]).encode()).hexdigest()


def _under(model, machines):
    """The same scenarios under a memory model."""
    return {name: prepared.with_straps(memory_model=model.value) for name, prepared in machines.items()}


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
