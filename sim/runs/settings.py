"""Preset, scenario and ``--set`` -> the machine of a run: structure, straps and the protocol's constants."""

from dataclasses import dataclass, fields, replace

from rtl.config import PRESETS, MachineConfig, Straps, lacking
from rtl.memory.port import MemoryModel
from sim.errors import InputError
from sim.spelling import closest
from sim.texts import shown

__all__ = [
    "MACHINE_SETTINGS", "STRAP_SETTINGS", "TEXT_SETTINGS", "Settings", "constants", "memory_assignment", "preset_config",
    "settings", "swept",
]


#: What ``--set`` accepts, besides ``define.NAME``.
MACHINE_SETTINGS = tuple(item.name for item in fields(MachineConfig) if item.name != "n_cores")
STRAP_SETTINGS = tuple(item.name for item in fields(Straps))
#: Those of them with a name as value, not a number.
TEXT_SETTINGS = tuple(item.name for item in fields(MachineConfig) if item.type is str)


@dataclass(frozen=True)
class Settings:
    """The machine of a run."""

    config: MachineConfig
    straps: Straps
    defines: dict[str, int]

    @property
    def memory(self):
        """Name of the memory model, as ``--memory`` takes it."""
        return MemoryModel(self.straps.memory_model).name.lower()


def preset_config(name):
    """The MachineConfig of a preset. Raises InputError."""
    if name not in PRESETS:
        raise InputError(f'there is no preset "{name}"{closest(name, PRESETS)} (there are: {", ".join(PRESETS)})')
    return PRESETS[name]


def memory_assignment(name):
    """The ``--set`` for ``--memory sc|tso|pso``. Raises InputError."""
    if name.upper() not in MemoryModel.__members__ or name != name.lower():
        raise InputError(f"--memory {name}: must be sc, tso or pso")
    return f"memory_model={MemoryModel[name.upper()].value}"


def constants(assignments, option, texts=()):
    """``NAME=value`` texts, as the user gave them to ``option``, -> {NAME: value}: a number, except for the names in ``texts``.
    Raises InputError."""
    result = {}
    for text in assignments:
        name, sign, value = (part.strip() for part in text.partition("="))
        if not sign or not name:
            raise InputError(f"{option} {text}: must be written as NAME=value")
        if name in texts:
            result[name] = value
            continue
        try:
            result[name] = int(value, 0)
        except ValueError:
            raise InputError(f"{option} {text[:100]}: the value must be a whole number, not {shown(value)}") from None
        if abs(result[name]) >> 64:
            raise InputError(f"{option} {name}: the value has more than 64 bits")
    return result


def swept(texts):
    """``NAME=value,value`` of each ``--sweep`` -> {NAME: its values, as ``--set`` takes them}. Raises InputError."""
    result = {}
    for text in texts:
        name, sign, values = (part.strip() for part in text.partition("="))
        chosen = [value.strip() for value in values.split(",")]
        if not sign or not name or not all(chosen):
            raise InputError(f"--sweep {text}: must be written as NAME=value,value")
        if name in result:
            raise InputError(f"--sweep {text}: {name} is swept twice")
        if len(set(chosen)) < len(chosen):
            raise InputError(f"--sweep {text}: has a value twice")
        result[name] = chosen
    return result


def settings(scenario, *, preset="default", assignments=(), sweep=()):
    """The Settings of a run of ``scenario``: the preset, then the scenario's overrides, then ``--set`` (``key=value``).

    sweep : likewise, a value of each ``--sweep``.
    Raises an InputError that names the wrong place in the scenario, or the wrong option.
    """
    said, values = {}, {}
    for option, texts in (("--set", assignments), ("--sweep", sweep)):
        for name, value in constants(texts, option, texts=TEXT_SETTINGS).items():
            if name in said:
                raise InputError(f"{option} {name}: its value is given already, {values[name]}")
            said[name], values[name] = f"{option} {name}={value}", value
    machine, straps, defines = {}, {}, dict(scenario.defines)
    for name, value in values.items():
        if name in MACHINE_SETTINGS:
            machine[name] = value
        elif name in STRAP_SETTINGS:
            straps[name] = value
        elif name.startswith("define."):
            defines[name.removeprefix("define.")] = value
        elif name in ("n_cores", "cores"):
            raise InputError(f"{said[name]}: the number of cores is set with --cores")
        else:
            known = [*MACHINE_SETTINGS, *STRAP_SETTINGS]
            raise InputError(f"{said[name]}: there is no such setting{closest(name, known)} "
                             f"(there are: {', '.join(known)}, define.NAME)")
    base = preset_config(preset).with_cores(scenario.n_cores)
    config = _replaced(base, scenario, "machine", machine, said)
    held = _replaced(Straps(), scenario, "straps", straps, said)
    for strap, field, sentence in lacking(config, held):
        for name in (strap, field):
            if name in said:
                raise InputError(f"{said[name]}: {sentence}")
        place = ("straps", strap) if strap in scenario.straps else ("machine", field)
        raise scenario.document.refusal(place, f"is refused: {sentence}")
    return Settings(config, held, defines)


def _replaced(base, scenario, section, assigned, said):
    """``base`` with the scenario's and the assigned fields, all at once, because the limit of one may depend on another."""
    try:
        return replace(base, **{**getattr(scenario, section), **assigned})
    except ValueError as error:
        # The message starts with the field; n_cores is refused because of xlen.
        name = str(error).split()[0].replace("n_cores", "xlen")
        if name in assigned:
            raise InputError(f"{said[name]}: {error}") from None
        raise scenario.document.refusal((section, name), f"is refused: {error}") from None
