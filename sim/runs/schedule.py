"""The file that repeats a run: the JSON form of a Run. ``docs/schedules.md`` describes it."""

import json
from dataclasses import asdict, fields
from pathlib import Path

from rtl.apic.faults import FaultKind
from rtl.config import FULL, MachineConfig, Straps, lacking
from rtl.monitor import FLAGS
from rtl.schedule import ScheduleKind, schedule_layout
from sim.errors import InputError
from sim.files import write_whole
from sim.spelling import closest
from sim.texts import integer, read_json, shown
from sim.watchdog import JUDGES

from .description import OfLitmus, OfScenario, Run
from .plan import FAULTS, Plan

__all__ = ["read_run", "run_text", "write_run"]

_FORMAT = "crosscall schedule"
_VERSION = 1
#: Runs of the recorded schedule per line.
_PER_LINE = 16
#: The largest limit.
_MOST = 1 << 40
#: Fields of a plan that a file contains by name.
_NAMED = {"kind": ScheduleKind, "fault": FaultKind}
#: Fields of a Run that a file contains only if they are not the default.
_LIMITS = ("max_clocks", "patience", "visits", "window")


def run_text(run):
    """The text of the file of a Run."""
    limits = {name: getattr(run, name) for name in _LIMITS if getattr(run, name) != getattr(Run, name)}
    if run.window is not None:
        limits["window"] = [run.window.start, run.window.stop]
    return json.dumps({
        "format": _FORMAT, "version": _VERSION, **asdict(run.subject), "config": asdict(run.config), "straps": asdict(run.straps),
        "contents": run.contents, "plan": _plan(run.plan),
        "schedule": None if run.schedule is None else _run_lengths(run.schedule),
        "violation": None if run.violation is None else {"flag": run.violation[0], "clock": run.violation[1]},
        **({"limits": limits} if limits else {}), **({"files": run.files} if run.files else {}),
    }, indent=2) + "\n"


def _plan(plan):
    faulty = any(int(getattr(value, "value", value)) for value in plan.faults.values())
    return {name: getattr(value, "name", str(value)).lower() if name in _NAMED else value for name, value in plan.as_const().items()
            if faulty or name not in FAULTS}


def write_run(path, run):
    """Write the file: whole, or not at all. Raises InputError."""
    write_whole(path, run_text(run))


def read_run(path):
    """The Run in a file. Raises an InputError with the error and its place."""
    path = Path(path)
    document = read_json(path, cut_off="is cut off: the rest of the schedule is missing")
    if not isinstance(document, dict) or document.get("format") != _FORMAT:
        raise InputError(f'is not a schedule file: it does not begin with "format": "{_FORMAT}"', file=path)
    if document.get("version") != _VERSION:
        raise InputError(f"has version {shown(document.get('version'))} of the format, and this crosscall reads version "
                         f"{_VERSION}: the run cannot be repeated", file=path)
    return _Reader(path, document).run()


def _run_lengths(schedule):
    """[(clock, raw), ...] -> lines of "<clocks>x<raw>": how many clocks each is in force; the last one has no end."""
    starts = [(0, 0), *schedule] if not schedule or schedule[0][0] else list(schedule)
    ends = [clock for clock, _ in starts[1:]] + [None]
    runs = [f"{'' if end is None else end - clock}x{raw:x}" for (clock, raw), end in zip(starts, ends, strict=True)]
    return [" ".join(runs[index:index + _PER_LINE]) for index in range(0, len(runs), _PER_LINE)]


class _Reader:
    """The document -> a Run; every refusal names its key."""

    _KEYS = {"format": str, "version": int}
    _SUBJECTS = {
        OfScenario: {"scenario": str, "seed": int, "protocol": str, "defines": dict, "without": list},
        OfLitmus: {"litmus": str, "mode": str | None, "delays": list},
    }
    _COMMON = {"config": dict, "straps": dict, "contents": str, "plan": dict, "schedule": list | None, "violation": dict | None}
    _LIMITS = {"max_clocks": int, "patience": int | None, "visits": int | None, "window": list | None}
    _TYPES = {str: "a string", int: "a whole number", dict: "a table", list: "a list", list | None: "a list or null",
              dict | None: "a table or null", str | None: "a string or null", int | None: "a whole number or null"}

    def __init__(self, path, document):
        self._path = path
        self._document = document

    def run(self):
        document = self._document
        files, limits = document.pop("files", {}), document.pop("limits", {})
        kind = OfLitmus if "litmus" in document else OfScenario
        self._keys(document, [*self._KEYS, *self._SUBJECTS[kind], *self._COMMON], "")
        for key, type_ in {**self._KEYS, **self._SUBJECTS[kind], **self._COMMON}.items():
            self._kind(document[key], type_, key)
        for name in self._kind(files, dict, "files"):
            if name not in ("scenario", "protocol", "litmus"):
                raise self._refusal(f"files.{name}", "is not known: the run cannot be repeated")
            self._kind(files[name], str, f"files.{name}")
        # A file from before anything could be left out is about a complete machine.
        config = self._made(MachineConfig, "config", FULL | document["config"])
        # Faults are in the file only if there are any.
        plan = dict.fromkeys(FAULTS, 0) | {"fault": "none"} | document["plan"]
        self._keys(plan, [item.name for item in fields(Plan)], "plan")
        for name, known in _NAMED.items():
            kinds = {kind.name.lower(): kind for kind in known}
            if not isinstance(plan[name], str) or plan[name] not in kinds:
                raise self._refusal(f"plan.{name}", f"must be one of {', '.join(kinds)}, not {shown(plan[name])}")
            plan[name] = kinds[plan[name]]
        straps = self._made(Straps, "straps", document["straps"])
        for strap, _, sentence in lacking(config, straps):
            raise self._refusal(f"straps.{strap}", f"is refused: {sentence}")
        return Run(
            subject=self._subject(kind, document), config=config, straps=straps,
            plan=self._made(Plan, "plan", plan), schedule=self._schedule(document["schedule"], schedule_layout(config).size),
            contents=document["contents"], violation=self._violation(kind, document["violation"]), files=files,
            **self._limits(limits),
        )

    def _subject(self, kind, document):
        parts = {key: document[key] for key in self._SUBJECTS[kind]}
        for key, inner in (("without", str), ("delays", int)):
            if key in parts:
                parts[key] = tuple(self._kind(value, inner, f"{key}[{number}]") for number, value in enumerate(parts[key]))
        for name, value in parts.get("defines", {}).items():
            self._kind(value, int, f"defines.{name}")
        return kind(**parts)

    def _limits(self, limits):
        for name, value in self._kind(limits, dict, "limits").items():
            if name not in self._LIMITS:
                raise self._refusal(f"limits.{name}", f"is not known{closest(name, self._LIMITS)}: the run cannot be repeated")
            self._kind(value, self._LIMITS[name], f"limits.{name}")
            for number in value if isinstance(value, list) else [value]:
                if number is not None and not 0 <= self._kind(number, int, f"limits.{name}") <= _MOST:
                    raise self._refusal(f"limits.{name}", f"must be from 0 to {_MOST}, not {shown(number)}")
        if limits.get("window") is not None:
            if len(limits["window"]) != 2:
                raise self._refusal("limits.window", "must be two clocks: the first, and the one after the last")
            limits = {**limits, "window": range(*limits["window"])}
        return limits

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
                    raise self._refusal(f"schedule[{number}]", f'has "{word[:100]}" instead of <clocks>x<held>')
                if raw >> width:
                    raise self._refusal(f"schedule[{number}]", f'has "{word[:100]}", which holds more than this machine has')
                if raw or result:
                    result.append((clock, raw))
                open_ = step is not None
                clock += step or 0
        if open_:
            raise self._refusal("schedule", "is cut off: its last entry must have no end")
        return tuple(result)

    def _violation(self, kind, value):
        if value is None:
            return None
        self._keys(value, ["flag", "clock"], "violation")
        known = (*FLAGS, *JUDGES)
        if self._kind(value["flag"], str, "violation.flag") not in known and kind is OfScenario:
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
