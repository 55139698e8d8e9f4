"""Who books what: the same plan for each contender, so that nobody meets himself and no slot is asked for twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

CLIENTS = 64
DOCTORS = 8


@dataclass(frozen=True)
class Slot:
    """A free slot, by its doctor's and its own id."""

    id: str
    doctor_id: str
    start_time: str


@dataclass(frozen=True)
class Plan:
    """Each client's slots for one round, and the slots that all of them want."""

    distinct: Sequence[Sequence[Slot]]
    hot: Sequence[Slot]


def plans(slots: Sequence[Slot], rounds: int, each: int, hot: int) -> list[Plan]:
    """Share the slots out: the next one in time goes to the next client, so one client's slots never overlap.

    At most 8 doctors have a slot at the same time, and 64 clients take turns. The first plan is the warm-up.
    Raises ValueError when there are too few slots.
    """
    ordered = sorted(slots, key=lambda slot: (slot.start_time, slot.doctor_id))
    if len(ordered) < needed(rounds, each, hot):
        raise ValueError(f"{needed(rounds, each, hot)} free slots are needed, and there are {len(ordered)}")
    made: list[Plan] = []
    for _ in range(rounds + 1):
        mine, ordered = ordered[: CLIENTS * each], ordered[CLIENTS * each :]
        # A hot slot stands 64 slots from any other: none of its crowd has anything else at that time.
        wanted, ordered = ordered[CLIENTS : (hot + 1) * CLIENTS : CLIENTS], ordered[(hot + 1) * CLIENTS :]
        made.append(Plan([mine[n::CLIENTS] for n in range(CLIENTS)], wanted))
    return made


def needed(rounds: int, each: int, hot: int) -> int:
    """How many free slots those plans take."""
    return (rounds + 1) * CLIENTS * (each + hot + 1)
