"""Scheduling: weekly hours, leave and the slots made from them, right across time zones and clock changes."""

from server.scheduling.events import SLOTS, SlotChanged, SlotsBehind
from server.scheduling.hours import keep_first_hours, read_hours, set_hours, take_leave
from server.scheduling.list import bookable_from, list_slots, next_free_slots
from server.scheduling.make import make_slots
from server.scheduling.models import (
    Hours,
    JoinWaitlist,
    ListSlots,
    MakeSlots,
    PublicSlot,
    ReadHours,
    SetHours,
    Slot,
    SlotList,
    SlotsMade,
    SlotStatus,
    TakeLeave,
    WeeklyHours,
    Wish,
    Wishes,
)
from server.scheduling.queries import doctors_behind
from server.scheduling.routes import routes
from server.scheduling.slots import Span, Window, slot_times
from server.scheduling.take import free_slot, slot, take_slot
from server.scheduling.waitlist import join_waitlist, list_wishes

__all__ = [
    "SLOTS",
    "Hours",
    "JoinWaitlist",
    "ListSlots",
    "MakeSlots",
    "PublicSlot",
    "ReadHours",
    "SetHours",
    "Slot",
    "SlotChanged",
    "SlotList",
    "SlotStatus",
    "SlotsBehind",
    "SlotsMade",
    "Span",
    "TakeLeave",
    "WeeklyHours",
    "Window",
    "Wish",
    "Wishes",
    "bookable_from",
    "doctors_behind",
    "free_slot",
    "join_waitlist",
    "keep_first_hours",
    "list_slots",
    "list_wishes",
    "make_slots",
    "next_free_slots",
    "read_hours",
    "routes",
    "set_hours",
    "slot",
    "slot_times",
    "take_leave",
    "take_slot",
]
