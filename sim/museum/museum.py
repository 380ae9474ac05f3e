"""The museum: each defect that the protocol has had, on the generations that have it and on those that do not.

What there is stands in ``defects.toml``. A defect comes out of the microcode of a generation, a scenario, and a schedule: the plain
one, or one that a search finds. A generation that is clean has to stay so in as many schedules.
"""

import random
from dataclasses import dataclass, fields
from functools import cache, partial
from pathlib import Path

from rtl.schedule import ScheduleKind
from sim.engines.spec import EngineSpec
from sim.errors import InputError
from sim.files import make_folder
from sim.hunt.search import search
from sim.hunt.work import plan_of
from sim.microcode.protocols import barriers_and_locks, find_protocol, shipped_protocols
from sim.runs.plan import Plan
from sim.runs.prepare import prepare
from sim.runs.run import run
from sim.scenarios.document import Document
from sim.spelling import closest
from sim.watchdog import JUDGES
from sim.workers.processes import Workers

__all__ = ["PLANS", "Defect", "Exhibit", "Row", "defects", "exhibits", "show"]

_HERE = Path(__file__).parent


def _stalls(number):
    """The plan of a run in which cores stop for hundreds of clocks, now and then, and nothing else is held up."""
    chance = random.Random(number)
    return Plan(kind=ScheduleKind.BOUNDED, seed=chance.getrandbits(32), stall=chance.choice((2, 4, 8)),
                delay=chance.choice((6, 7, 8)))


#: What draws the schedules of a search: number -> Plan.
PLANS = {"hunt": plan_of, "stalls": _stalls}


@dataclass(frozen=True)
class Defect:
    """What has been wrong.

    name, title : for people.  scenario : what shows it.  oracles : it is there if one of these is violated.
    has, clean : generations.  cores : how many it takes.
    settings : of the machine (``--set``).  variant : likewise, only where the defect is; what is clean is what it was made from.
    without : barriers that are left out, of those that a generation has.
    plans : of PLANS.  by_oracles : the Monitor has no flag for it, so the oracles judge each run.
    """

    name: str
    title: str
    scenario: str
    oracles: frozenset[str]
    has: tuple[str, ...]
    clean: tuple[str, ...]
    cores: int
    settings: tuple[str, ...] = ()
    variant: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    plans: str = "hunt"
    by_oracles: bool = False


def _name(protocol):
    return Path(protocol).name.removesuffix(".uasm")


@dataclass(frozen=True)
class Exhibit:
    """A Defect on a protocol. has : whether it is known to be there."""

    defect: Defect
    protocol: str
    has: bool

    @property
    def generation(self):
        """As it is shown."""
        return " ".join([_name(self.protocol), *(self.defect.variant if self.has else ())])

    @property
    def file(self):
        """The name of what is written of it, without suffix."""
        return f"{self.defect.name}.{_name(self.protocol)}"

    def prepared(self):
        defect = self.defect
        has = set(barriers_and_locks(self.protocol)) if defect.without else ()
        return prepare(defect.scenario, protocol=self.protocol, cores=defect.cores,
                       assignments=defect.settings + (defect.variant if self.has else ()),
                       without=[name for name in defect.without if name in has])


@dataclass(frozen=True)
class Row:
    """What came of an Exhibit.

    runs : how many schedules were tried.  found : the oracle that is violated, or None.  run : the number of the schedule; None:
    the plain run.  clock, sentence : of the violation.  wave : the file that shows it.
    """

    exhibit: Exhibit
    memory: str
    runs: int
    found: str | None = None
    run: int | None = None
    clock: int | None = None
    sentence: str | None = None
    wave: str | None = None

    @property
    def as_expected(self):
        return (self.found is not None) == self.exhibit.has

    def to_json(self):
        defect = self.exhibit.defect
        return {"generation": self.exhibit.generation, "defect": defect.name, "title": defect.title, "cores": defect.cores,
                "memory": self.memory, "expected": self.exhibit.has, "found": self.found is not None, "oracle": self.found,
                "run": self.run, "runs": self.runs, "clock": self.clock, "sentence": self.sentence, "wave": self.wave,
                "as_expected": self.as_expected}


@cache
def defects(path=_HERE / "defects.toml"):
    """Name -> Defect, of all there are. Raises InputError."""
    root = Document(path).root
    root.only(("defect",))
    found = [_read(table) for table in root.tables("defect")]
    return {defect.name: defect for defect in found}


def _read(table):
    table.only([item.name for item in fields(Defect)])
    lists = {key: tuple(table.get(key, list, [])) for key in ("has", "clean", "settings", "variant", "without", "oracles")}
    for oracle in lists["oracles"]:
        if oracle not in JUDGES:
            raise table.refusal("oracles", f'has "{oracle}", which does not exist{closest(oracle, JUDGES)}')
    plans = table.get("plans", str, "hunt")
    if plans not in PLANS:
        raise table.refusal("plans", f"must be one of {', '.join(PLANS)}")
    known = shipped_protocols()
    for key in ("has", "clean"):
        for protocol in lists[key]:
            if protocol not in known:
                raise table.refusal(key, f'has "{protocol}", which is not a protocol{closest(protocol, known)}')
    scenario = table.get("scenario", str)
    own = _HERE / f"{scenario}.toml"
    return Defect(name=table.get("name", str), title=table.get("title", str), cores=table.get("cores", int),
                  plans=plans, by_oracles=table.get("by_oracles", bool, False),
                  scenario=str(own) if own.exists() else scenario, **{**lists, "oracles": frozenset(lists["oracles"])})


def exhibits(names=(), protocols=()):
    """What there is to show. Raises InputError if there is no such thing.

    names : of defects; none: all.  protocols : only these. One that a defect says nothing of should be clean, as should your own.
    """
    known = defects()
    for name in names:
        if name not in known:
            raise InputError(f'there is no defect "{name}"{closest(name, known)} (there are: {", ".join(known)})')
    for protocol in protocols:
        find_protocol(protocol)
    return [Exhibit(known[name], protocol, protocol in known[name].has) for name in names or known
            for protocol in protocols or (*known[name].has, *known[name].clean)]


def show(exhibits, *, runs, out, processes, waves=True, progress=lambda row, done: None):
    """A Row for each Exhibit, in their order. progress : called with each Row when it is there, and with how many are.

    runs : schedules, at most, of each.  out : the folder for waves.  processes : how many work.
    """
    for exhibit in exhibits:
        exhibit.prepared()            # all that can be refused
    if waves:
        make_folder(out)
    rows = [None] * len(exhibits)
    with Workers(min(processes, len(exhibits)), partial(_look, exhibits, runs, out if waves else None)) as workers:
        numbers = iter(range(len(exhibits)))
        number = next(numbers, None)
        while number is not None or workers.busy:
            while number is not None and workers.hungry:
                workers.give(number)
                number = next(numbers, None)
            for place, row in workers.results():
                rows[place] = row
                progress(row, len(rows) - rows.count(None))
    return rows


@cache
def _engine(config, room):
    return EngineSpec(config, room=room, many=True).make()


def _look(exhibits, runs, out, number):
    """(number, Row) of an Exhibit."""
    exhibit = exhibits[number]
    prepared = exhibit.prepared()
    engine = _engine(prepared.run.config, prepared.room)
    hit = next(search(prepared, engine, runs=runs, plans=PLANS[exhibit.defect.plans], by_oracles=exhibit.defect.by_oracles,
                      wanted=exhibit.defect.oracles.__contains__), None)
    if hit is None:
        return number, Row(exhibit, prepared.settings.memory, runs)
    wave = None
    if out is not None:
        # Exactly what has been found, so that the schedule beside the waves is that, too.
        again = hit.result.prepared.under(schedule=hit.result.schedule, violation=(hit.first.oracle, hit.first.clock))
        wave = str(run(again, engine=engine, out=out, name=exhibit.file).files["waves"])
    found, tried = hit.first, 0 if hit.number is None else hit.number + 1
    return number, Row(exhibit, prepared.settings.memory, tried, found.oracle, hit.number, found.clock, found.sentence, wave)
