"""Reminders: quiet where that can be, also over a change of the clock; and none of what does not take place then."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from server.accounts import ChangeMe, QuietHours, change_me
from server.booking import BookSlot, CancelBooking, Reschedule, TakeLeave, book_slot, cancel_booking, reschedule
from server.booking import take_leave as leave_is_taken
from server.core.ids import ConsultationId
from server.core.tx import Actor, Role, Tx
from server.notifications import AddDevice, add_device, plan_reminders, quiet_until, send_due_reminders
from tests.clinic import World
from tests.conftest import Services
from tests.outside import PushService

HOUR, TEN = timedelta(hours=1), timedelta(minutes=10)
QUARTER = timedelta(minutes=15)
SENT = "select valid_until, count(*) as n from notifications where kind = 'reminder' and state = 'sent' group by 1"
STATES = "select channel, state, error from notifications where kind = 'reminder' order by channel"


@pytest.fixture
async def world(services: Services) -> AsyncIterator[World]:
    """A clinic whose clock stands still."""
    async with World.opened(services) as opened:
        yield opened


async def book(world: World, slot: int = 1) -> ConsultationId:
    """The first patient books one of the first doctor's slots, which cost nothing: at once confirmed."""
    ask = BookSlot(slot_id=world.slots[slot])
    booking = partial(book_slot, ask=ask, cipher=world.database.cipher, settings=world.settings)
    held = await world.act(world.patients[0], booking, at_once=True)
    assert held is not None
    await world.work()
    return held.id


async def move(world: World, id_: ConsultationId, slot: int) -> None:
    ask = Reschedule(id=id_, slot_id=world.slots[slot])
    act = partial(reschedule, ask=ask, cipher=world.database.cipher, settings=world.settings)
    assert await world.act(world.patients[0], act) is not None


async def tick(world: World, at: datetime) -> None:
    """Let it be this moment, and have due reminders written; nothing is sent yet."""
    world.now = at
    await world.database.write(
        partial(send_due_reminders, cipher=world.database.cipher, settings=world.settings), source="tick"
    )


async def rows(world: World, sql: str, *args: object) -> list[dict[str, Any]]:
    async def ask(tx: Tx) -> list[dict[str, Any]]:
        return [dict(row) for row in await tx.conn.fetch(sql, *args)]

    return await world.database.read(ask)


async def wish(world: World, **change: Any) -> None:
    """The first patient changes what they want."""
    ask = ChangeMe.model_validate(change)
    assert await world.act(world.patients[0], partial(change_me, ask=ask, cipher=world.database.cipher)) is not None


async def told_by_every_way(world: World) -> None:
    """The first patient has a telephone, and a browser at an address that nothing is ever sent to from here."""
    await wish(world, phone="+919876543210", channels={"booking": {"push": False}})
    open_to_all = world.settings.model_copy(update={"push_insecure": True})
    ask = AddDevice.model_validate({**PushService().subscribe(), "endpoint": "http://127.0.0.1:9/push"})
    adding = partial(add_device, ask=ask, cipher=world.database.cipher, settings=open_to_all)
    assert await world.act(world.patients[0], adding) is not None


@pytest.mark.parametrize("door", ["patient", "doctor", "admin", "leave"])
async def test_whoever_cancels_no_reminder_follows_by_any_way(world: World, door: str) -> None:
    """R1: cancelled in the second between writing the hour's reminder and sending it."""
    await told_by_every_way(world)
    id_ = await book(world)
    _, begins, ends = world.times[1]
    await tick(world, begins - HOUR)
    assert [(row["channel"], row["state"]) for row in await rows(world, STATES)] == [
        (channel, "queued") for channel in ("mail", "push", "sms")
    ]
    if door == "leave":
        doctor = world.doctors[0]
        ask = TakeLeave.model_validate({"id": doctor.doctor_id, "from": begins, "to": ends, "booked": "cancel"})
        run = world.database.run(actor=doctor)
        await leave_is_taken(run, ask, cipher=world.database.cipher, settings=world.settings)
    else:
        actor = {"patient": world.patients[0], "doctor": world.doctors[0], "admin": Actor(Role.ADMIN)}[door]
        cancel = partial(
            cancel_booking, ask=CancelBooking(id=id_), cipher=world.database.cipher, settings=world.settings
        )
        assert await world.act(actor, cancel) is not None
    await world.work()
    for at in (begins - TEN, begins, begins + TEN):
        await tick(world, at)
        await world.work()
    assert [(row["state"], row["error"]) for row in await rows(world, STATES)] == [("dropped", "no-longer-true")] * 3
    assert await rows(world, "select 1 from reminders where sent_at is null and dropped_at is null") == []
    told = await rows(world, "select channel from notifications where cause like 'cancelled:%' order by channel")
    assert [row["channel"] for row in told] == ["mail"] + (["sms"] if door != "patient" else [])


async def test_an_unpaid_hold_that_runs_out_reminds_nobody(world: World) -> None:
    ask = BookSlot(slot_id=world.slots[5])
    booking = partial(book_slot, ask=ask, cipher=world.database.cipher, settings=world.settings)
    assert await world.act(world.patients[0], booking, at_once=True) is not None
    await world.work()
    world.now += timedelta(minutes=16)
    await world.work()
    [row] = await rows(world, "select ended_as from consultations")
    assert row["ended_as"] == "unpaid"
    _, begins, _ = world.times[5]
    for at in (begins - HOUR, begins - TEN):
        await tick(world, at)
        await world.work()
    assert await rows(world, "select 1 from reminders") == await rows(world, STATES) == []


async def test_moved_later_earlier_and_back_each_reminder_comes_once_for_the_time_that_is_true(world: World) -> None:
    """R2; at every moment at which one of the three times would have had a reminder."""
    id_ = await book(world, 1)
    for slot in (3, 0, 1):
        await move(world, id_, slot)
    await world.work()
    moments = sorted(begins - ahead for _, begins, _ in world.times[:4] for ahead in (HOUR, TEN, timedelta()))
    for at in moments:
        await tick(world, at)
        await world.work()
    assert await rows(world, SENT) == [{"valid_until": world.times[1][1], "n": 2}]


async def test_moved_while_a_reminder_waits_it_is_dropped_and_comes_at_the_new_time(world: World) -> None:
    id_ = await book(world, 0)
    await tick(world, world.times[0][1] - HOUR)
    await move(world, id_, 3)
    await world.work()
    assert [(row["state"], row["error"]) for row in await rows(world, STATES)] == [("dropped", "no-longer-true")]
    begins = world.times[3][1]
    for at in (begins - HOUR, begins - HOUR, begins - TEN):
        await tick(world, at)
        await world.work()
    assert await rows(world, SENT) == [{"valid_until": begins, "n": 2}]


LONDON, SPRING, AUTUMN = ZoneInfo("Europe/London"), date(2027, 3, 28), date(2027, 10, 31)


@pytest.mark.parametrize(
    ("begins", "kind", "comes"),
    [
        # The hour that a night loses or wins: seven in the morning is seven by the clock on the wall.
        ("2027-03-28T23:30+01:00", "24h", "2027-03-28T06:00Z"),
        ("2027-10-31T22:30Z", "24h", "2027-10-31T07:00Z"),
        ("2027-06-02T23:30+01:00", "24h", "2027-06-02T06:00Z"),
        ("2027-03-28T10:00+01:00", "24h", "2027-03-27T09:00Z"),
        # Quiet that ends in time for the hour's, quiet that does not, and the last one, which always comes.
        ("2027-03-28T07:30+01:00", "1h", "2027-03-28T06:00Z"),
        ("2027-03-28T06:30+01:00", "1h", "2027-03-28T04:30Z"),
        ("2027-10-31T06:30Z", "10min", "2027-10-31T06:20Z"),
    ],
)
async def test_a_reminder_that_can_wait_comes_when_the_quiet_is_over(
    world: World, begins: str, kind: str, comes: str
) -> None:
    await wish(world, time_zone="Europe/London", quiet_hours={"from": "22:00", "to": "07:00"})
    id_ = await book(world)
    start, expected = datetime.fromisoformat(begins).astimezone(UTC), datetime.fromisoformat(comes)

    async def put_there(tx: Tx) -> None:
        await tx.conn.execute(
            "update consultations set start_time = $2, end_time = $2::timestamptz + interval '20 minutes'"
            " where id = $1",
            id_,
            start,
        )
        await plan_reminders(tx, id_)
        await tx.conn.execute("delete from reminders where kind <> $1", kind)

    world.now = start - timedelta(days=2)
    await world.database.write(put_there)
    at = start - timedelta(days=1)
    # Every half hour, and around the moment itself; a tick that finds nothing due says nothing.
    moments = {at + QUARTER * 2 * step for step in range(49)} | {expected - timedelta(minutes=1), expected}
    for moment in sorted(moment for moment in moments if moment <= expected):
        assert await rows(world, STATES) == []
        await tick(world, moment)
    await world.work()
    assert await rows(world, SENT) == [{"valid_until": start, "n": 1}]


CLOCKS = [
    ("Europe/London", SPRING),
    ("Europe/London", AUTUMN),
    ("America/New_York", date(2027, 3, 14)),
    ("America/New_York", date(2027, 11, 7)),
    ("Australia/Lord_Howe", date(2027, 4, 4)),
    ("Australia/Lord_Howe", date(2027, 10, 3)),
    ("Asia/Kolkata", date(2027, 3, 28)),
]


@pytest.mark.parametrize(("zone", "change"), CLOCKS)
@pytest.mark.parametrize(
    ("begin", "end"), [("22:00", "07:00"), ("13:00", "14:30"), ("00:00", "06:45"), ("23:30", "00:15")]
)
def test_quiet_goes_by_the_clock_on_the_wall(zone: str, change: date, begin: str, end: str) -> None:
    """Each quarter of an hour of four days: quiet is what the wall says, and it ends when the wall says so."""
    there = ZoneInfo(zone)
    quiet = QuietHours.model_validate({"from": begin, "to": end})
    first, last = time.fromisoformat(begin), time.fromisoformat(end)
    moment = datetime.combine(change - timedelta(days=2), time(), there).astimezone(UTC)
    for _ in range(4 * 96):
        wall = moment.astimezone(there).time()
        is_quiet = first <= wall < last if first < last else wall >= first or wall < last
        until = quiet_until(quiet, there, moment)
        assert (until is not None) == is_quiet, moment
        if until is not None:
            assert moment < until < moment + timedelta(hours=12)
            assert until.astimezone(there).time() == last
            assert quiet_until(quiet, there, until) is None
        moment += QUARTER


@pytest.mark.parametrize(
    ("zone", "end", "at", "until"),
    [
        # 01:30 comes twice: it is quiet until the second.
        ("Europe/London", "01:30", "2027-10-31T00:15Z", "2027-10-31T01:30Z"),
        ("Europe/London", "01:30", "2027-10-31T00:45Z", "2027-10-31T01:30Z"),
        ("Europe/London", "01:30", "2027-10-31T01:30Z", None),
        # 01:30 does not come: it is quiet until the moment that is as far behind the gap.
        ("Europe/London", "01:30", "2027-03-28T00:45Z", "2027-03-28T01:30Z"),
        ("Europe/London", "01:30", "2027-03-28T01:30Z", None),
        ("Australia/Lord_Howe", "01:45", "2027-04-03T14:50Z", "2027-04-03T15:15Z"),
    ],
)
def test_quiet_that_ends_in_the_hour_of_the_change_ends_once(zone: str, end: str, at: str, until: str | None) -> None:
    quiet = QuietHours.model_validate({"from": "22:00", "to": end})
    found = quiet_until(quiet, ZoneInfo(zone), datetime.fromisoformat(at))
    assert found == (datetime.fromisoformat(until) if until else None)
