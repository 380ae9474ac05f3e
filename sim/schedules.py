"""Plans of schedules, and the file that says how to repeat a run. The file is described in ``docs/schedules.md``."""

import hashlib
import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from rtl.config import MachineConfig, Straps
from rtl.monitor import FLAGS
from rtl.schedule import ScheduleKind, plan_layout, schedule_layout

from .errors import InputError
from .files import write_whole
from .names import closest
from .texts import integer, read_json, shown

__all__ = ["Plan", "RunRecipe", "contents_digest", "read_recipe", "write_recipe"]

_FORMAT = "crosscall schedule"
_VERSION = 1
#: Field of a plan -> the largest value; a hunt makes many plans.
_LIMITS = {name: (1 << field.width) - 1 for name, field in plan_layout}
#: What a rate is a part of.
_RATES = 256
#: Runs of the recorded schedule that stand on one line.
_PER_LINE = 16


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What draws the schedule of a run: the fields of ``rtl.schedule.plan_layout``. The default holds nobody back.

    kind : ScheduleKind.  seed : 0 to 2**32 - 1.
    start : the first clock in which somebody may be held back.
    stall, hold_drain, hold_interrupt, hold_message : rates, in 1/256.
    delay : BOUNDED holds for 1 to ``2**delay`` clocks.
    changes, horizon : PCT draws ``changes`` change points from the ``2**horizon`` clocks after ``start``.
    """

    kind: ScheduleKind = ScheduleKind.NONE
    seed: int = 0
    start: int = 0
    stall: int = 0
    hold_drain: int = 0
    hold_interrupt: int = 0
    hold_message: int = 0
    delay: int = 0
    changes: int = 0
    horizon: int = 0

    def __post_init__(self):
        if not isinstance(self.kind, ScheduleKind):
            raise TypeError(f"kind must be a ScheduleKind, not {self.kind!r}")
        for item in fields(self)[1:]:
            value, limit = getattr(self, item.name), _LIMITS[item.name]
            if isinstance(value, bool) or not isinstance(value, int):
                raise TypeError(f"{item.name} must be an integer, not {value!r}")
            if not 0 <= value <= limit:
                raise ValueError(f"{item.name} must be from 0 to {limit}, not {value}")

    @property
    def slowness(self):
        """How many times slower a run gets, roughly: the mean number of clocks until one in which a core is not stalled and what it
        waits for is not held."""
        return self._slowness(self.stall) * max(map(self._slowness, (self.hold_drain, self.hold_interrupt, self.hold_message)))

    def _slowness(self, rate):
        if self.kind is ScheduleKind.RANDOM:
            return _RATES / (_RATES - rate)
        if self.kind is ScheduleKind.BOUNDED:
            return 1 + rate * (1 + 2**self.delay) / 2 / _RATES
        return 1

    def as_const(self):
        """The value of the ``plan`` port, as ``data.Layout.const`` takes it."""
        return {item.name: getattr(self, item.name) for item in fields(self)}


def contents_digest(contents):
    """What tells one Contents from another: the same for the same words, wherever they come from."""
    digest = hashlib.sha256()
    for address, word in enumerate(contents.microcode):
        digest.update(f"microcode {address:x} {word:x}\n".encode())
    for address, word in sorted(contents.arena.items()):
        if word:
            digest.update(f"arena {address:x} {word:x}\n".encode())
    return digest.hexdigest()


@dataclass(frozen=True, kw_only=True)
class RunRecipe:
    """All that a run depends on, so that it can be repeated.

    scenario, seed, protocol, defines, without : as ``sim.run.prepare`` takes them.
    config, straps, plan : of the run.
    contents : the ``contents_digest`` of what they gave.
    schedule : as an Outcome has it, or None: then the plan draws it again.
    violation : the flag that the run sets, or the oracle that it violates, and the clock of that; or None.
    files : "scenario" or "protocol" -> the text of the user's own file, so that the recipe can be taken elsewhere.
    """

    scenario: str
    seed: int = 0
    protocol: str
    defines: dict[str, int] = field(default_factory=dict)
    without: tuple[str, ...] = ()
    config: MachineConfig
    straps: Straps
    contents: str
    plan: Plan
    schedule: tuple[tuple[int, int], ...] | None = None
    violation: tuple[str, int] | None = None
    files: dict[str, str] = field(default_factory=dict)

    def check(self, contents, *, file=None):
        """Raise InputError if these are not the Contents of the run."""
        found = contents_digest(contents)
        if found != self.contents:
            raise InputError(f'the run cannot be repeated: microcode and arena of scenario "{self.scenario}" with protocol '
                             f'"{self.protocol}" are not what they were (digest {found[:12]}, recorded {self.contents[:12]}); '
                             "the scenario, the protocol or the assembler has changed since", file=file)

    def check_violation(self, seen, *, file=None):
        """Raise InputError if this was not the run: ``seen`` are flag or oracle -> first clock."""
        if self.violation is None:
            return
        flag, clock = self.violation
        if seen.get(flag) != clock:
            found = f"came at clock {seen[flag]}" if flag in seen else "did not come"
            raise InputError(f"this is not the run that was recorded: {flag} {found}, recorded at clock {clock}; the hardware has "
                             "changed since", file=file)


def write_recipe(path, recipe):
    """Write the file: whole, or not at all. Raises InputError."""
    document = {
        "format": _FORMAT, "version": _VERSION, "scenario": recipe.scenario, "seed": recipe.seed, "protocol": recipe.protocol,
        "defines": dict(recipe.defines), "without": list(recipe.without),
        "config": asdict(recipe.config), "straps": asdict(recipe.straps),
        "contents": recipe.contents, "plan": recipe.plan.as_const() | {"kind": recipe.plan.kind.name.lower()},
        "schedule": None if recipe.schedule is None else _run_lengths(recipe.schedule),
        "violation": None if recipe.violation is None else {"flag": recipe.violation[0], "clock": recipe.violation[1]},
    }
    if recipe.files:
        document["files"] = recipe.files
    write_whole(path, json.dumps(document, indent=2) + "\n")


def read_recipe(path):
    """The RunRecipe of a file. Raises InputError that says what is wrong, and where."""
    path = Path(path)
    document = read_json(path, cut_off="is cut off: the rest of the schedule is missing")
    if not isinstance(document, dict) or document.get("format") != _FORMAT:
        raise InputError(f'is no schedule file: it does not begin with "format": "{_FORMAT}"', file=path)
    if document.get("version") != _VERSION:
        raise InputError(f"has version {shown(document.get('version'))} of the format, and this crosscall reads version "
                         f"{_VERSION}: the run cannot be repeated", file=path)
    return _Reader(path, document).recipe()


def _run_lengths(schedule):
    """[(clock, raw), ...] -> lines of "<clocks>x<raw>": for how many clocks what is in force; the last one has no end."""
    starts = [(0, 0), *schedule] if not schedule or schedule[0][0] else list(schedule)
    ends = [clock for clock, _ in starts[1:]] + [None]
    runs = [f"{'' if end is None else end - clock}x{raw:x}" for (clock, raw), end in zip(starts, ends, strict=True)]
    return [" ".join(runs[index:index + _PER_LINE]) for index in range(0, len(runs), _PER_LINE)]


class _Reader:
    """The document -> a RunRecipe; every refusal names its key."""

    _KEYS = {"format": str, "version": int, "scenario": str, "seed": int, "protocol": str, "defines": dict, "without": list,
             "config": dict, "straps": dict, "contents": str, "plan": dict, "schedule": list | None, "violation": dict | None}
    _TYPES = {str: "a string", int: "a whole number", dict: "a table", list: "a list", list | None: "a list or null",
              dict | None: "a table or null"}

    def __init__(self, path, document):
        self._path = path
        self._document = document

    def recipe(self):
        document = self._document
        files = document.pop("files", {})
        self._keys(document, self._KEYS, "")
        for key, kind in self._KEYS.items():
            self._kind(document[key], kind, key)
        for name, value in document["defines"].items():
            self._kind(value, int, f"defines.{name}")
        for name in self._kind(files, dict, "files"):
            if name not in ("scenario", "protocol"):
                raise self._refusal(f"files.{name}", "is not known: the run cannot be repeated")
            self._kind(files[name], str, f"files.{name}")
        for number, name in enumerate(document["without"]):
            self._kind(name, str, f"without[{number}]")
        config = self._made(MachineConfig, "config", document["config"])
        plan = dict(document["plan"])
        self._keys(plan, [item.name for item in fields(Plan)], "plan")
        kinds = {kind.name.lower(): kind for kind in ScheduleKind}
        if not isinstance(plan["kind"], str) or plan["kind"] not in kinds:
            raise self._refusal("plan.kind", f"must be one of {', '.join(kinds)}, not {shown(plan['kind'])}")
        plan["kind"] = kinds[plan["kind"]]
        return RunRecipe(
            scenario=document["scenario"], seed=document["seed"], protocol=document["protocol"], defines=document["defines"],
            without=tuple(document["without"]),
            config=config, straps=self._made(Straps, "straps", document["straps"]), contents=document["contents"],
            plan=self._made(Plan, "plan", plan), schedule=self._schedule(document["schedule"], schedule_layout(config).size),
            violation=self._violation(document["violation"]), files=files,
        )

    def _schedule(self, lines, width):
        if lines is None:
            return None
        result, clock, open_ = [], 0, True
        for number, line in enumerate(lines):
            for word in self._kind(line, str, f"schedule[{number}]").split():
                length, cross, raw = word.partition("x")
                try:
                    raw = int(raw, 16)
                    step = integer(length) if length else None
                except ValueError:
                    cross = ""
                if not cross or not open_ or step is not None and step < 1:
                    raise self._refusal(f"schedule[{number}]", f'has "{word[:100]}" in the place of <clocks>x<what is held>')
                if raw >> width:
                    raise self._refusal(f"schedule[{number}]", f'has "{word[:100]}", which holds more than this machine has')
                if raw or result:
                    result.append((clock, raw))
                open_ = step is not None
                clock += step or 0
        if open_:
            raise self._refusal("schedule", "is cut off: its last entry must have no end")
        return tuple(result)

    def _violation(self, value):
        if value is None:
            return None
        self._keys(value, ["flag", "clock"], "violation")
        from sim.watchdog import JUDGES  # which import the engines, and they this

        known = (*FLAGS, *JUDGES)
        if self._kind(value["flag"], str, "violation.flag") not in known:
            raise self._refusal("violation.flag", f"is not known{closest(value['flag'], known)} (there are: {', '.join(known)})")
        return value["flag"], self._kind(value["clock"], int, "violation.clock")

    def _made(self, kind, key, content):
        self._keys(content, [item.name for item in fields(kind)], key)
        try:
            return kind(**content)
        except (TypeError, ValueError) as error:
            raise self._refusal(key, f"is refused: {error}") from None

    def _keys(self, content, known, key):
        where = f"{key}." if key else ""
        for name in content:
            if name not in known:
                raise self._refusal(f"{where}{name}", f"is not known{closest(name, known)}: the run cannot be repeated")
        for name in known:
            if name not in content:
                raise self._refusal(f"{where}{name}", "is missing")

    def _kind(self, value, kind, key):
        if not isinstance(value, kind) or isinstance(value, bool):
            raise self._refusal(key, f"must be {self._TYPES[kind]}, not {shown(value)}")
        return value

    def _refusal(self, key, message):
        return InputError(f"{key} {message}", file=self._path)
