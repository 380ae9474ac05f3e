"""The schedule file: one run of one scenario, to be repeated to the clock on any engine. The format is in docs/schedules.md."""

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from rtl.schedule import ScheduleKind
from sim.errors import InputError
from sim.schedules import Plan

__all__ = ["FORMAT", "ScheduleFile", "contents_digest", "read_schedule", "write_schedule"]

#: What a file of ours says it is; the number is the version.
FORMAT = "crosscall schedule 1"


@dataclass(frozen=True)
class ScheduleFile:
    """What a schedule file says.

    scenario, protocol, cores, preset, assignments, without, seed : what ``sim.run.prepare`` is given.
    config, straps : what came of it.  contents : ``contents_digest`` of the memories.
    plan : what drew the schedule.  schedule : (clock, raw schedule in force from then on), one for each change.
    found : {"flag", "oracle", "clock", "sentence"} of the finding that the run shows, or None.
    """

    scenario: str
    protocol: str | None
    cores: int | None
    preset: str | None
    assignments: tuple[str, ...]
    without: tuple[str, ...]
    seed: int
    config: dict
    straps: dict
    contents: str
    plan: Plan
    schedule: tuple[tuple[int, int], ...]
    found: dict | None

    def check(self, prepared, path):
        """Raise InputError, naming the file, unless ``prepared`` is what the schedule was recorded with."""
        now = asdict(prepared.settings.config), asdict(prepared.settings.straps), contents_digest(prepared.contents)
        for what, then, here in zip(("machine", "straps"), (self.config, self.straps), now[:2], strict=True):
            names = [name for name in here if then.get(name) != here[name]]
            if names:
                raise InputError(f"the {what} is another one: {names[0]} was {then.get(names[0])}, and is {here[names[0]]}",
                                 file=path)
        if self.contents != now[2]:
            raise InputError("the protocol or the scenario has been changed since: the words in the memories are others, "
                             "so this schedule would be another run", file=path)


def contents_digest(contents):
    """A hash of what is in the memories when the run starts."""
    text = json.dumps([list(contents.microcode), sorted(item for item in contents.arena.items() if item[1])])
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def write_schedule(path, item):
    """Write a ScheduleFile, whole or not at all."""
    parts = {"format": FORMAT, **asdict(item)}
    parts["plan"] = {**asdict(item.plan), "kind": item.plan.kind.name}
    parts["schedule"] = [[clock, f"{raw:x}"] for clock, raw in item.schedule]
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        head = {name: value for name, value in parts.items() if name != "schedule"}
        text = json.dumps(head, indent=1)[:-2] + ',\n "schedule": ' + json.dumps(parts["schedule"]) + "\n}\n"
        temporary.write_text(text)
        os.replace(temporary, path)
    except OSError as error:
        raise InputError(f"cannot be written: {error.strerror}", file=path) from None
    finally:
        temporary.unlink(missing_ok=True)


def read_schedule(path):
    """The ScheduleFile at ``path``. Raises InputError, with the place, for whatever is wrong with it."""
    path = Path(path)
    try:
        parts = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", file=path) from None
    except UnicodeDecodeError:
        raise InputError("is not text, so no schedule file", file=path) from None
    except json.JSONDecodeError as error:
        raise InputError(f"is no schedule file, or not all of one: {error.msg}", file=path, line=error.lineno,
                         column=error.colno) from None
    if not isinstance(parts, dict) or parts.pop("format", None) != FORMAT:
        raise InputError(f'does not say "format": "{FORMAT}"', file=path)
    try:
        plan = dict(parts.pop("plan"))
        kind = ScheduleKind[plan.pop("kind")]
        changes = tuple((int(clock), int(raw, 16)) for clock, raw in parts.pop("schedule"))
        if any(later[0] <= before[0] for before, later in zip(changes, changes[1:], strict=False)):
            raise ValueError("the clocks of the schedule do not rise")
        for name in ("assignments", "without"):
            parts[name] = tuple(parts[name])
        return ScheduleFile(plan=Plan(kind=kind, **plan), schedule=changes, **parts)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"contradicts itself: {error}", file=path) from None
