"""Run crosscall from Python, for scripts and notebooks: docs/python.md.

This is also the package that is installed. In a wheel it contains ``rtl`` and ``sim``, so that nothing with such common names is at
the top of site-packages: after ``import crosscall`` they can be imported by these names, in this process and in those that it
starts with multiprocessing. In the repository they are beside this folder, and an editable installation finds them there.

The modules here have a ``_`` in front of their names because this folder is in ``sys.path``.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sim.errors import InputError as InputError
    from sim.errors import MissingToolError as MissingToolError

    from ._interface import Result, Scenario, hunt, replay, run, scenarios
    from ._plain import Call, Event, Finding, Hunt, Rows, Span, Violation, Visit

__all__ = [
    "Call", "Event", "Finding", "Hunt", "InputError", "MissingToolError", "Result", "Rows", "Scenario", "Span", "Violation",
    "Visit", "hunt", "replay", "run", "scenarios",
]

sys.path.insert(0, str(Path(__file__).parent))


def __getattr__(name: str) -> Any:
    """What is offered is imported when it is first used: the command, which begins here too, must not wait for it."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import _interface
    globals()[name] = value = getattr(_interface, name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
