"""The museum: each defect that the protocol has had, on the generations with and without it.

``defects.toml`` lists the defects. The microcode of a generation, a scenario and a schedule show a defect: the plain schedule, one
that a search finds, or, for what no search finds, one that holds cores at named places (``sim.runs.holds``). A clean generation
must stay clean in as many schedules.
"""

import random
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

from rtl.config import MachineConfig
from rtl.schedule import ScheduleKind
from sim.engines.spec import EngineSpec
from sim.errors import InputError
from sim.files import make_folder
from sim.hunt.search import search
from sim.hunt.work import plan_of
from sim.microcode.protocols import barriers_and_locks, find_protocol, shipped_protocols
from sim.runs.holds import hold_up, read_holds
from sim.runs.plan import Plan
from sim.runs.prepare import prepare
from sim.runs.run import run
from sim.scenarios.document import Document
from sim.scenarios.reader import shipped_scenarios
from sim.spelling import closest
from sim.watchdog import JUDGES
from sim.workers.processes import side_by_side

__all__ = ["PLANS", "Defect", "Exhibit", "Row", "exhibits", "read_defects", "shipped_defects", "show"]

_HERE = Path(__file__).parent


def _stalls(number):
    """The plan of a run in which cores now and then stop for hundreds of clocks, and nothing else is held up."""
    chance = random.Random(number)
    return Plan(kind=ScheduleKind.BOUNDED, seed=chance.getrandbits(32), stall=chance.choice((2, 4, 8)),
                delay=chance.choice((6, 7, 8)))


#: What draws the schedules of a search: number -> Plan.
PLANS = {"hunt": plan_of, "stalls": _stalls}


# --- the collection ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Defect:
    """A defect.

    name, title : for people.  scenario : what shows it.  oracles : it is present if one of these is violated.
    has, clean : generations.  cores : how many it needs.
    settings : of the machine (``--set``).  variant : more settings, for where the defect is; without them the generation may be
    clean.
    without : barriers to leave out of each generation that has them, also of the clean ones.
    holds : what shows it in a generation that has it, instead of a search (``sim.runs.holds``).
    plans : one of PLANS.  by_oracles : the Monitor has no flag for it, so the oracles judge each run.
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
    holds: tuple[str, ...] = ()
    plans: str = "hunt"
    by_oracles: bool = False


@cache
def shipped_defects():
    """Name -> Defect, of all shipped ones."""
    return read_defects(_HERE / "defects.toml")


def read_defects(path):
    """Name -> Defect, of a file. Scenarios are in the file's folder, or shipped. Raises InputError."""
    root = Document(path).root
    root.only(("defect",))
    found = {}
    for table in root.tables("defect"):
        defect = _read(table)
        if defect.name in found:
            raise table.refusal("name", f'names "{defect.name}" a second time')
        found[defect.name] = defect
    return found


def _read(table):
    table.only(Defect.__annotations__)
    for key in ("name", "title", "scenario", "oracles", "has", "clean", "cores"):
        if key not in table:
            raise table.document.refusal(table.path, f"has no {key}")
    known = {"has": shipped_protocols(), "clean": shipped_protocols(), "oracles": JUDGES}
    lists = {key: _names(table, key, known.get(key)) for key in (*known, "settings", "variant", "without", "holds")}
    both = set(lists["has"]).intersection(lists["clean"])
    if both and not lists["variant"]:
        raise table.refusal("clean", f'has "{min(both)}", as `has` does, and there is no variant')
    if lists["without"]:
        named = {name for protocol in (*lists["has"], *lists["clean"]) for name in barriers_and_locks(protocol)}
        for name in lists["without"]:
            if name not in named:
                raise table.refusal("without", f'has "{name}", which none of these generations names{closest(name, named)}')
    plans = table.get("plans", str, "hunt")
    if plans not in PLANS:
        raise table.refusal("plans", f"must be one of {', '.join(PLANS)}")
    cores = table.get("cores", int)
    if not 1 <= cores <= MachineConfig.MAX_CORES:
        raise table.refusal("cores", f"must be from 1 to {MachineConfig.MAX_CORES}")
    return Defect(name=table.get("name", str), title=table.get("title", str), scenario=_scenario(table), cores=cores, plans=plans,
                  by_oracles=table.get("by_oracles", bool, False), **{**lists, "oracles": frozenset(lists["oracles"])})


def _names(table, key, known):
    names = table.get(key, list, [])
    for name in names:
        if not isinstance(name, str) or known is not None and name not in known:
            raise table.refusal(key, f'has "{name}", which does not exist{closest(str(name), known or ())}')
    return tuple(names)


def _scenario(table):
    name = table.get("scenario", str)
    own, shipped = table.document.path.parent / f"{name}.toml", shipped_scenarios()
    if not own.is_file() and name not in shipped:
        raise table.refusal("scenario", f'is "{name}", which neither stands here nor is shipped{closest(name, shipped)}')
    return str(own) if own.is_file() else name


@dataclass(frozen=True)
class Exhibit:
    """A Defect on a protocol. has : whether the protocol is known to have it."""

    defect: Defect
    protocol: str
    has: bool

    @property
    def generation(self):
        return Path(self.protocol).name.removesuffix(".uasm")

    @property
    def variant(self):
        return self.defect.variant if self.has else ()

    @property
    def without(self):
        """What to leave out, of what this generation has."""
        return [name for name in self.defect.without if name in barriers_and_locks(self.protocol)]

    @property
    def holds(self):
        """What is held, for lack of a schedule that a search finds."""
        return self.defect.holds if self.has else ()

    @property
    def what(self):
        """The generation, and how it is changed."""
        without = f" without {', '.join(self.without)}" if self.without else ""
        return " ".join([self.generation, *self.variant]) + without

    @property
    def file(self):
        """The name of its files, without suffix."""
        return f"{self.defect.name}.{self.generation}{'.variant' if self.variant else ''}"

    def prepared(self):
        """What to run, before anything is held. Raises InputError, also for a hold."""
        prepared = prepare(self.defect.scenario, protocol=self.protocol, cores=self.defect.cores,
                           assignments=(*self.defect.settings, *self.variant), without=self.without)
        self.held(prepared)
        return prepared

    def held(self, prepared):
        """The Holds. Raises InputError."""
        return read_holds(prepared, self.holds)


def exhibits(names=(), protocols=()):
    """The Exhibits. Raises InputError for an unknown defect or protocol.

    names : of defects; none: all.  protocols : only these. A protocol that a defect does not mention, or your own, should be clean.
    """
    known = shipped_defects()
    for name in names:
        if name not in known:
            raise InputError(f'there is no defect "{name}"{closest(name, known)} (there are: {", ".join(known)})')
    for protocol in protocols:
        find_protocol(protocol)
    chosen = tuple(dict.fromkeys(protocols))
    return [exhibit for name in dict.fromkeys(names or known) for exhibit in _exhibits(known[name], chosen)]


def _exhibits(defect, protocols):
    known = [Exhibit(defect, name, has) for has, names in ((True, defect.has), (False, defect.clean)) for name in names]
    if not protocols:
        return known
    return [exhibit for protocol in protocols
            for exhibit in [one for one in known if one.protocol == protocol] or [Exhibit(defect, protocol, has=False)]]


# --- looking at it ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """The result of an Exhibit.

    runs : schedules tried, besides the plain run or the one with holds.  found : the violated oracle, or None.
    run : the number of the schedule; None: the plain run, or the one with holds.  clock, sentence : of the violation.
    wave : the file that shows it.
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
        exhibit, defect = self.exhibit, self.exhibit.defect
        return {"generation": exhibit.generation, "defect": defect.name, "title": defect.title, "cores": defect.cores,
                "memory": self.memory, "expected": exhibit.has, "found": self.found is not None, "oracle": self.found,
                "run": self.run, "runs": self.runs, "clock": self.clock, "sentence": self.sentence, "wave": self.wave,
                "settings": [*defect.settings, *exhibit.variant], "without": exhibit.without, "holds": list(exhibit.holds),
                "as_expected": self.as_expected}


def show(exhibits, *, runs, out, processes, progress=lambda row, done: None):
    """A Row for each Exhibit, in order. progress : called with each finished Row and the number of finished ones.

    runs : at most this many schedules of each.  out : the folder for waves; None: no waves.  processes : how many.
    """
    prepared = [exhibit.prepared() for exhibit in exhibits]           # every InputError comes here
    if out is not None:
        make_folder(out)
    engines = {}                                                       # built before the processes that use them
    for one in prepared:
        if _machine(one) not in engines:
            engines[_machine(one)] = _machine(one).make()
    rows = [None] * len(exhibits)

    def look(number):
        return _look(exhibits[number], prepared[number], engines[_machine(prepared[number])], runs, out)

    for done, (number, row) in enumerate(side_by_side(processes, look, range(len(exhibits))), 1):
        rows[number] = row
        progress(row, done)
    return rows


def _machine(prepared):
    return EngineSpec(prepared.run.config, room=prepared.room, many=True)


def _look(exhibit, prepared, engine, runs, out):
    """The Row of an Exhibit."""
    defect = exhibit.defect
    row = partial(Row, exhibit, prepared.settings.memory)
    if exhibit.holds:
        (prepared, _), runs = hold_up(prepared, exhibit.held(prepared), engine), 0
    hit = next(search(prepared, engine, runs=runs, plans=PLANS[defect.plans], by_oracles=defect.by_oracles,
                      wanted=defect.oracles.__contains__), None)
    if hit is None:
        return row(runs)
    wave = None
    if out is not None:
        wave = str(run(hit.repeatable, engine=engine, out=out, name=exhibit.file).files["waves"])
    found, tried = hit.first, 0 if hit.number is None else hit.number + 1
    return row(tried, found.oracle, hit.number, found.clock, found.sentence, wave)
