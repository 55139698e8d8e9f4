"""Steps: `@on(Event)` makes a function a step of a flow. Deliveries, taskiq messages and the drawing follow from it."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from server.core.events import Event

F = TypeVar("F", bound=Callable[..., Awaitable[None]])


@dataclass(frozen=True, slots=True)
class Step:
    """One step: which event it hears, and whether it leaves the house (an errand: `run` comes first, not `tx`)."""

    name: str
    event: type[Event]
    function: Callable[..., Awaitable[None]]
    is_errand: bool
    flow: str

    def bound(self, house: Mapping[str, object]) -> Callable[..., Awaitable[None]]:
        """The function with its keyword arguments taken from the house by name (cipher, settings, ...)."""
        wanted = [
            name
            for name, parameter in inspect.signature(self.function).parameters.items()
            if parameter.kind is inspect.Parameter.KEYWORD_ONLY
        ]
        return functools.partial(self.function, **{name: house[name] for name in wanted})


STEPS: dict[str, Step] = {}


def on(event: type[Event]) -> Callable[[F], F]:
    """Register the function as a step that hears `event`; its name is `flow.function`."""

    def register(function: F) -> F:
        flow = function.__module__.rpartition(".")[2]
        name = f"{flow}.{function.__name__}"
        first = next(iter(inspect.signature(function).parameters))
        if first not in ("tx", "run"):
            raise TypeError(f"{name} must take (tx, event) or (run, event)")
        if name in STEPS:
            raise TypeError(f"two steps are named {name}")
        STEPS[name] = Step(name, event, function, first == "run", flow)
        return function

    return register


def graph() -> str:
    """All flows as a Mermaid drawing, from the registrations."""
    lines = ["flowchart LR"]
    for flow in sorted({step.flow for step in STEPS.values()}):
        lines.append(f"    subgraph {flow}")
        lines.extend(
            f'        {step.event.name.replace(".", "_")}(["{step.event.name}"]) --> '
            f'{step.name.replace(".", "_")}["{step.name.partition(".")[2].replace("_", " ")}"]'
            + (":::errand" if step.is_errand else "")
            for step in sorted(STEPS.values(), key=lambda step: (step.event.name, step.name))
            if step.flow == flow
        )
        lines.append("    end")
    lines.append("    classDef errand stroke-dasharray: 4 3")
    return "\n".join(lines) + "\n"
