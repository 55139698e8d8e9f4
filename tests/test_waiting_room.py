"""The waiting room: skip, put back, hand on, tell all who wait; what they are told; what their devices can do."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from realtime.delivery.client import Refused, Watched
from server.consultations import Expected, Past, pace, turns
from server.core.ids import ConsultationId
from tests.house import Cast, Client
from tests.test_field import live, order, waiting_today


async def three_waiting(cast: Cast) -> list[str]:
    """Asha, Vik and a third wait for Dr. Rao, in this order."""
    first, second = await waiting_today(cast)
    third = (await cast.house.crowd(1))[0]
    slot = (await cast.slots_of(cast.dr_rao, 3))[2]
    booked = await third.post("/consultations", slot_id=slot["id"])
    assert booked.status == 201, booked.text
    for client, id_ in ((cast.asha, first["id"]), (cast.vik, second["id"]), (third, booked.json["id"])):
        assert (await client.post(f"/consultations/{id_}/check-in", key=None)).status == 200
    return [first["id"], second["id"], booked.json["id"]]


async def queue_of(doctor: Client) -> dict[str, Any]:
    answer = await doctor.get("/queue")
    assert answer.status == 200, answer.text
    return dict(answer.json)


def applied(watched: Watched) -> dict[str, dict[str, Any]]:
    """The queue as a client has it: its snapshot, then every event, in order."""
    entries = {entry["consultation_id"]: entry for entry in watched.snapshot["entries"]}
    for event in watched.events:
        if event["type"] == "queue.changed":
            entry = event["data"]["entry"]
            entries[entry["consultation_id"]] = entry
    return {id_: entry for id_, entry in entries.items() if entry["listed"]}


async def test_who_is_skipped_stands_right_behind_the_next_and_comes_back_to_the_old_place(cast: Cast) -> None:
    a, b, c = await three_waiting(cast)
    room = f"queue:{cast.dr_rao.me['doctor_id']}"
    async with live(cast.dr_rao) as rao, live(cast.asha) as asha:
        queue = await rao.watch(room)
        mine = await asha.watch(f"consultation:{a}")
        skipped = await rao.call("queue.skip", consultation_id=a)
        assert skipped["consultation"]["queued_at"]
        assert order(await queue_of(cast.dr_rao)) == [b, a, c]
        await asha.until(lambda: any(e["type"] == "waiting.position" for e in mine.events))
        told = [e["data"] for e in mine.events if e["type"] == "waiting.position"][-1]
        assert told["position"] == 2
        assert told["earliest"] <= told["estimated_start"] <= told["latest"]
        assert (await cast.dr_rao.post(f"/consultations/{a}/skip", key=None)).status == 200
        assert order(await queue_of(cast.dr_rao)) == [b, c, a]
        last = await cast.dr_rao.post(f"/consultations/{a}/skip", key=None)
        assert (last.status, last.code) == (409, "nobody-behind")
        assert (await rao.call("queue.put_back", consultation_id=a))["consultation"]["queued_at"] is None
        shown = await queue_of(cast.dr_rao)
        assert order(shown) == [a, b, c]
        number = await cast.house.value("select seq from rooms where name = $1", room)
        await rao.until(lambda: queue.offset == number)
        assert applied(queue) == {entry["consultation_id"]: entry for entry in shown["entries"]}


async def test_a_called_patient_is_put_back_or_skipped_for_the_next(cast: Cast) -> None:
    a, b, c = await three_waiting(cast)
    assert (await cast.dr_rao.post(f"/consultations/{a}/call", key=None)).status == 200
    assert order(await queue_of(cast.dr_rao)) == [b, c]
    assert (await cast.dr_rao.post(f"/consultations/{a}/put-back", key=None)).json["called_at"] is None
    assert order(await queue_of(cast.dr_rao)) == [a, b, c]
    assert (await cast.dr_rao.post(f"/consultations/{a}/call", key=None)).status == 200
    assert (await cast.dr_rao.post(f"/consultations/{a}/skip", key=None)).json["called_at"] is None
    assert order(await queue_of(cast.dr_rao)) == [b, a, c]
    started = await cast.dr_rao.post(f"/consultations/{b}/call", key=None)
    assert started.status == 200
    assert (await cast.dr_rao.post(f"/consultations/{b}/start", key=None)).status == 200
    for act in ("skip", "put-back"):
        assert (await cast.dr_rao.post(f"/consultations/{b}/{act}", key=None)).code == "wrong-status"
        assert (await cast.dr_sen.post(f"/consultations/{a}/{act}", key=None)).status == 404
        assert (await cast.asha.post(f"/consultations/{a}/{act}", key=None)).status == 403


async def test_all_who_wait_hear_how_late_the_doctor_is_and_their_turns_move(cast: Cast) -> None:
    a, _, _ = await three_waiting(cast)
    async with live(cast.asha) as asha, live(cast.dr_rao) as rao:
        mine = await asha.watch(f"consultation:{a}")
        queue = await rao.watch(f"queue:{cast.dr_rao.me['doctor_id']}")
        said = await rao.call("queue.tell_delay", minutes=20, reason="emergency")
        back = datetime.fromisoformat(said["notice"]["back_at"])
        await asha.until(lambda: any(e["type"] == "waiting.position" for e in mine.events))
        told = [e["data"] for e in mine.events if e["type"] == "waiting.position"][-1]
        assert told["notice"] == said["notice"]
        assert told["notice"]["minutes"] == 20
        assert datetime.fromisoformat(told["earliest"]) >= back - timedelta(seconds=1)
        place = (await cast.asha.get(f"/consultations/{a}/waiting")).json
        assert place["notice"]["reason"] == "emergency"
        assert (await queue_of(cast.dr_rao))["notice"] == said["notice"]
        # Who calls somebody in is back.
        assert (await rao.call("queue.call"))["consultation"]["id"] == a
        await rao.until(
            lambda: [e["data"]["notice"] for e in queue.events if e["type"] == "queue.notice"][1:] == [None]
        )
        assert (await queue_of(cast.dr_rao))["notice"] is None
        assert (await cast.dr_rao.call("DELETE", "/queue/notice")).json == {"done": False}
        with pytest.raises(Refused):
            await rao.call("queue.tell_delay", minutes=17)
    assert (await cast.asha.put("/queue/notice", minutes=15)).status == 403


async def test_a_notice_is_over_by_itself(cast: Cast) -> None:
    a, _, _ = await three_waiting(cast)
    assert (await cast.dr_rao.put("/queue/notice", minutes=5)).status == 200
    await cast.house.sql("update queue_notices set said_at = said_at - interval '6 minutes'")
    assert (await cast.asha.get(f"/consultations/{a}/waiting")).json["notice"] is None
    assert (await queue_of(cast.dr_rao))["notice"] is None


async def test_the_doctor_sees_what_the_device_check_found(cast: Cast) -> None:
    a, _, _ = await three_waiting(cast)
    found = {"camera": "none", "microphone": "ok", "speaker": "unknown", "network": "limited"}
    async with live(cast.dr_rao) as rao, live(cast.asha) as asha:
        queue = await rao.watch(f"queue:{cast.dr_rao.me['doctor_id']}")
        assert (await asha.call("waiting.readiness", consultation_id=a, **found))["readiness"] == found
        await rao.until(lambda: queue.events)
        assert queue.events[-1]["data"]["entry"]["readiness"] == found
        seen = queue.offset
        assert (await cast.asha.put(f"/consultations/{a}/readiness", **found)).json == found
        assert await cast.house.value("select seq from rooms where name = $1", queue.room) == seen
    assert (await cast.vik.put(f"/consultations/{a}/readiness", **found)).status == 404
    assert (await cast.asha.put(f"/consultations/{a}/readiness", **found | {"camera": "splendid"})).status == 422


async def test_a_doctor_hands_a_waiting_patient_to_another_who_has_time(cast: Cast) -> None:
    a, b, c = await three_waiting(cast)
    rao, sen = cast.dr_rao.me["doctor_id"], cast.dr_sen.me["doctor_id"]
    before = (await cast.asha.get(f"/consultations/{a}")).json
    async with live(cast.asha) as asha, live(cast.dr_sen) as receiver:
        mine = await asha.watch(f"consultation:{a}")
        queue = await receiver.watch(f"queue:{sen}")
        moved = await cast.dr_rao.post(f"/consultations/{a}/transfer", doctor_id=sen)
        assert moved.status == 200, moved.text
        assert moved.json["doctor_id"] == sen
        assert moved.json["checked_in_at"] == before["checked_in_at"]
        assert moved.json["payment"] == before["payment"]
        await asha.until(lambda: [e for e in mine.events if e["type"] == "consultation.changed"])
        await receiver.until(lambda: queue.events)
        assert queue.events[0]["data"]["entry"]["position"] == 1
    assert order(await queue_of(cast.dr_rao)) == [b, c]
    assert order(await queue_of(cast.dr_sen)) == [a]
    assert (await cast.dr_rao.get(f"/consultations/{a}")).status == 404
    assert (await cast.dr_sen.post(f"/consultations/{a}/call", key=None)).status == 200
    slots = await cast.house.sql("select doctor_id from availability_slots where consultation_id = $1", a)
    assert [str(slot["doctor_id"]) for slot in slots] == [sen]
    mails = "select 1 from notifications where cause like 'moved:' || $1 || '%'"
    await cast.house.until(mails, a)
    back = await cast.dr_sen.post(f"/consultations/{a}/transfer", doctor_id=rao)
    assert back.code == "not-to-be-moved"


async def test_only_who_may_hands_on_and_only_to_who_has_time(cast: Cast) -> None:
    a, _, c = await three_waiting(cast)
    sen = cast.dr_sen.me["doctor_id"]
    for client, status in ((cast.asha, 403), (cast.vik, 403), (cast.dr_sen, 404)):
        assert (await client.post(f"/consultations/{a}/transfer", doctor_id=sen)).status == status
    unknown = await cast.dr_rao.post(f"/consultations/{a}/transfer", doctor_id=cast.asha.me["patient_id"])
    assert unknown.status == 404
    await cast.house.sql("delete from availability_slots where doctor_id = $1 and status = 'AVAILABLE'", UUID(sen))
    busy = await cast.dr_rao.post(f"/consultations/{a}/transfer", doctor_id=sen)
    assert (busy.status, busy.code) == (409, "doctor-busy")
    assert order(await queue_of(cast.dr_rao))[0] == a
    # For an administrator a slot is made where the other doctor has nothing else.
    made = await cast.mira.post(f"/consultations/{a}/transfer", doctor_id=sen)
    assert made.status == 200, made.text
    assert order(await queue_of(cast.dr_sen)) == [a]
    answers = await asyncio.gather(
        cast.dr_rao.post(f"/consultations/{c}/transfer", doctor_id=sen),
        cast.mira.post(f"/consultations/{c}/transfer", doctor_id=sen),
    )
    assert sorted(answer.status for answer in answers)[0] == 200
    held = "select count(*) from availability_slots where consultation_id = $1"
    assert await cast.house.value(held, c) == 1


NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


def worked(minutes: float, count: int, *, late: float = 0) -> list[Past]:
    """Consultations of other days that took so long each, begun so many minutes after they might have."""
    found: list[Past] = []
    for number in range(count):
        due = NOW - timedelta(days=2 + number // 8, minutes=30 * (number % 8))
        began = due + timedelta(minutes=late)
        found.append(Past(due, due - timedelta(minutes=5), began, began + timedelta(minutes=minutes)))
    return found


def waits(number: int, *, due: float = -10, since: float = -20) -> Expected:
    return Expected(
        ConsultationId(UUID(int=number)),
        NOW + timedelta(minutes=due),
        waits_from=NOW + timedelta(minutes=since, seconds=number),
    )


def test_estimates_follow_the_doctors_own_pace() -> None:
    queue = [waits(number, due=0, since=-5) for number in (1, 2, 3)]
    quick = turns(NOW, queue, pace(NOW, worked(6, 40), 900))
    slow = turns(NOW, queue, pace(NOW, worked(25, 40), 900))
    third = ConsultationId(UUID(int=3))
    assert quick[third].at < NOW + timedelta(minutes=25) < NOW + timedelta(minutes=40) < slow[third].at
    for found in (quick, slow):
        assert all(turn.earliest <= turn.at <= turn.latest for turn in found.values())
        spans = [turn.latest - turn.earliest for _, turn in sorted(found.items())]
        assert spans == sorted(spans)  # the further away, the less is known


def test_a_doctor_who_begins_late_today_is_told_to_be_late() -> None:
    today: list[Past] = []
    for hours in (1, 2, 3):
        due = NOW - timedelta(hours=hours)
        began = due + timedelta(minutes=20)
        today.append(Past(due, due - timedelta(minutes=10), began, began + timedelta(minutes=10)))
    on_time, late = pace(NOW, worked(10, 40), 900), pace(NOW, [*worked(10, 37), *today], 900)
    one = ConsultationId(UUID(int=1))
    queue = [waits(1, due=5, since=-1)]
    assert turns(NOW, queue, late)[one].latest > turns(NOW, queue, on_time)[one].latest


def test_nobody_is_promised_a_turn_before_the_doctor_is_back_or_the_call_has_ended() -> None:
    one = ConsultationId(UUID(int=1))
    away = turns(NOW, [waits(1)], pace(NOW, worked(10, 40), 900, NOW + timedelta(minutes=30)))
    assert away[one].earliest >= NOW + timedelta(minutes=30)
    talking = Expected(ConsultationId(UUID(int=9)), NOW, waits_from=None, started_at=NOW - timedelta(minutes=2))
    busy = turns(NOW, [talking, waits(1)], pace(NOW, worked(10, 40), 900))
    assert busy[one].earliest > NOW + timedelta(minutes=5)


def test_of_a_doctor_nobody_knows_little_is_said() -> None:
    found = turns(NOW, [waits(1), waits(2), waits(3)], pace(NOW, [], 900))
    assert found[ConsultationId(UUID(int=3))].sure == "low"
    assert all(turn.earliest < turn.latest for turn in found.values())
