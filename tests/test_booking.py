"""Booking: one slot, one patient, whatever happens at once; money, keys and rules."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import itertools
import json
import time
from collections import Counter
from typing import Any
from uuid import uuid4

import pytest

from tests.conftest import PASSWORD, Services
from tests.house import Answer, Cast, House

RACERS = 200


async def assert_one_winner(house: House, slot_id: str, answers: list[Answer]) -> None:
    assert Counter(a.status for a in answers) == {201: 1, 409: len(answers) - 1}
    for answer in answers:
        if answer.status == 409:
            assert answer.code == "slot-taken"
            assert all(slot["status"] == "AVAILABLE" for slot in answer.json["alternatives"])
            assert answer.json["alternatives"]
    live = "select count(*) from consultations where slot_id = $1 and status <> 'CANCELLED'"
    assert await house.value(live, slot_id) == 1
    assert (
        await house.value("select count(*) from availability_slots where id = $1 and status = 'BOOKED'", slot_id) == 1
    )
    paid = "select count(*) from payments p join consultations c on c.id = p.consultation_id where c.slot_id = $1"
    assert await house.value(paid, slot_id) == 1
    assert await house.value("select count(*) from outbox where name = 'consultation.booked'") == 1


async def test_of_many_patients_asking_at_once_over_two_servers_one_gets_the_slot(two_servers: House) -> None:
    cast = await Cast.sign_in(two_servers, PASSWORD)
    people = await two_servers.crowd(RACERS)
    [slot] = await cast.slots_of(cast.dr_rao)
    answers = await asyncio.gather(
        *(
            person.post("/consultations", slot_id=slot["id"], base=base)
            for person, base in zip(people, itertools.cycle(two_servers.bases), strict=False)
        )
    )
    await assert_one_winner(two_servers, slot["id"], answers)


async def test_the_same_with_valkey_stopped(services: Services, two_servers: House) -> None:
    cast = await Cast.sign_in(two_servers, PASSWORD)
    people = await two_servers.crowd(RACERS)
    [slot] = await cast.slots_of(cast.dr_rao)
    await services.valkey.kill()
    try:
        answers = await asyncio.gather(
            *(
                person.post("/consultations", slot_id=slot["id"], base=base)
                for person, base in zip(people, itertools.cycle(two_servers.bases), strict=False)
            )
        )
    finally:
        await services.valkey.start()
    await assert_one_winner(two_servers, slot["id"], answers)


async def test_one_key_asked_five_times_in_parallel_makes_one_consultation(cast: Cast) -> None:
    [slot] = await cast.slots_of(cast.dr_rao)
    key = uuid4().hex
    answers = await asyncio.gather(*(cast.asha.post("/consultations", key=key, slot_id=slot["id"]) for _ in range(5)))
    assert {a.status for a in answers} <= {201, 409}
    for answer in answers:
        if answer.status == 409:
            assert answer.code == "in-flight"
            assert answer.headers["Retry-After"]
    again = await cast.asha.post("/consultations", key=key, slot_id=slot["id"])
    assert again.status == 201
    assert again.headers["Idempotency-Replayed"] == "true"
    assert {a.json["id"] for a in answers if a.status == 201} == {again.json["id"]}
    assert await cast.house.value("select count(*) from consultations") == 1


async def test_a_key_with_another_body_is_refused_and_another_users_key_is_another_key(cast: Cast) -> None:
    first, second = await cast.slots_of(cast.dr_rao, 2)
    key = uuid4().hex
    assert (await cast.asha.post("/consultations", key=key, slot_id=first["id"])).status == 201
    other_body = await cast.asha.post("/consultations", key=key, slot_id=second["id"])
    assert (other_body.status, other_body.code) == (422, "idempotency-key-reused")
    assert (await cast.vik.post("/consultations", key=key, slot_id=second["id"])).status == 201
    missing = await cast.asha.post("/consultations", key=None, slot_id=second["id"])
    assert (missing.status, missing.code) == (422, "idempotency-key-missing")


async def test_an_unpaid_slot_asked_for_again_leads_to_the_same_checkout(cast: Cast) -> None:
    booked = await cast.booked(cast.asha, cast.dr_sen)
    assert booked["confirmed_at"] is None
    assert booked["payment"]["status"] == "pending"
    assert booked["payment"]["checkout_url"]
    again = await cast.asha.post("/consultations", slot_id=booked["slot_id"])
    assert again.status == 200
    assert again.json["id"] == booked["id"]
    assert again.json["confirmed_at"] is None


async def test_a_patient_is_never_in_two_places_at_once(cast: Cast) -> None:
    rao = await cast.slots_of(cast.dr_rao, 20)
    sen = await cast.slots_of(cast.dr_sen, 20)
    one, other = next(
        (a, b) for a in rao for b in sen if a["start_time"] < b["end_time"] and b["start_time"] < a["end_time"]
    )
    assert (await cast.asha.post("/consultations", slot_id=one["id"])).status == 201
    busy = await cast.asha.post("/consultations", slot_id=other["id"])
    assert (busy.status, busy.code) == (409, "patient-busy")
    assert await cast.house.value("select status from availability_slots where id = $1", other["id"]) == "AVAILABLE"


async def test_a_slot_of_the_past_is_refused_with_a_type_of_its_own(cast: Cast) -> None:
    [slot] = await cast.slots_of(cast.dr_rao)
    await cast.house.sql(
        "update availability_slots set start_time = now() - interval '3 years', end_time = now() - interval '3 years'"
        " + interval '10 minutes' where id = $1",
        slot["id"],
    )
    answer = await cast.asha.post("/consultations", slot_id=slot["id"])
    assert (answer.status, answer.code) == (409, "slot-passed")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "slot_id"),
        ({"slot_id": "not-a-uuid"}, "slot_id"),
        ({"slot_id": 7}, "slot_id"),
        ({"slot_id": str(uuid4()), "doctor_id": str(uuid4())}, "doctor_id"),
        ({"slot_id": str(uuid4()), "reason": "x" * 5000}, "reason"),
        ({"slot_id": str(uuid4()), "reason": "evil \u202e text"}, "reason"),
    ],
)
async def test_bad_bodies_name_the_field(cast: Cast, body: dict[str, Any], field: str) -> None:
    answer = await cast.asha.post("/consultations", **body)
    assert answer.status == 422
    assert field in [error["field"] for error in answer.json["errors"]]
    assert await cast.house.value("select count(*) from consultations") == 0


@pytest.mark.parametrize(
    "raw",
    [
        b"{",
        b"[]",
        b"\xff\xfe",
        b'{"slot_id": "a", "slot_id": "b"}',
        b'{"slot_id": "\\ud800"}',
        b'{"slot_id": "\\u0000"}',
        b'{"reason": NaN}',
        b'{"reason": ' + b"9" * 5000 + b"}",
        b"[" * 100_000,
    ],
)
async def test_rubbish_is_a_problem_and_never_a_500(cast: Cast, raw: bytes) -> None:
    answer = await cast.asha.call("POST", "/consultations", raw=raw, headers={"Idempotency-Key": "k"})
    assert answer.status in (400, 413, 422)
    assert answer.headers["Content-Type"].startswith("application/problem+json")


def signed(house: House, body: bytes, *, at: int | None = None) -> dict[str, str]:
    t = str(at if at is not None else int(time.time()))
    secret = house.settings.sandbox_secret.get_secret_value().encode()
    mac = hmac.new(secret, t.encode() + b"." + body, hashlib.sha256).hexdigest()
    return {"Amrutam-Signature": f"t={t},v1={mac}"}


@pytest.mark.parametrize(
    "order", list(itertools.permutations(["payment.authorized", "payment.captured", "order.paid"]))
)
async def test_reports_in_any_order_make_one_captured_entry_and_one_mail(cast: Cast, order: tuple[str, ...]) -> None:
    booked = await cast.booked(cast.asha, cast.dr_sen)
    payment = booked["payment"]
    for kind in order:
        # Unusual spacing and escapes: the signature is judged over the bytes received.
        body = (
            f'{{ "id":"{uuid4().hex}",  "type":"{kind}","order":"{payment["id"]}","payment":"pay_\\u0031",'
            f'"amount":{payment["amount"]} ,"currency":"{payment["currency"]}"}}'
        ).encode()
        answer = await cast.house.stranger().call(
            "POST", "/payments/webhooks/sandbox", raw=body, headers=signed(cast.house, body)
        )
        assert answer.status == 200, answer.text
    await cast.house.until("select 1 from consultations where id = $1 and confirmed_at is not null", booked["id"])
    captured = "select count(*) from payment_entries where payment_id = $1 and kind = 'captured'"
    assert await cast.house.value(captured, payment["id"]) == 1
    await cast.house.until("select 1 from notifications where cause like 'confirmed:%:mail'")
    await cast.house.until("select 1 where not exists (select 1 from deliveries where done_at is null)")
    assert await cast.house.value("select count(*) from notifications where cause like 'confirmed:%:mail'") == 1


@pytest.mark.parametrize("harm", ["signature", "old", "amount", "order"])
async def test_a_webhook_that_is_not_right_changes_nothing(cast: Cast, harm: str) -> None:
    booked = await cast.booked(cast.asha, cast.dr_sen)
    payment = booked["payment"]
    body = json.dumps(
        {
            "id": uuid4().hex,
            "type": "payment.captured",
            "order": str(uuid4()) if harm == "order" else payment["id"],
            "payment": "pay_1",
            "amount": payment["amount"] + (1 if harm == "amount" else 0),
            "currency": payment["currency"],
        }
    ).encode()
    headers = signed(cast.house, body, at=int(time.time()) - 3600 if harm == "old" else None)
    if harm == "signature":
        headers = {"Amrutam-Signature": headers["Amrutam-Signature"][:-4] + "0000"}
    answer = await cast.house.stranger().call("POST", "/payments/webhooks/sandbox", raw=body, headers=headers)
    assert answer.status == (422 if harm in ("amount", "order") else 401)
    assert await cast.house.value("select count(*) from payment_entries") == 0
    assert await cast.house.value("select count(*) from payment_webhooks") == 0


async def test_a_hold_that_ends_gives_the_slot_back(cast: Cast) -> None:
    booked = await cast.booked(cast.asha, cast.dr_sen)
    await cast.house.sql("update payments set expires_at = now() - interval '1 second'")
    await cast.house.until("select 1 from consultations where id = $1 and status = 'CANCELLED'", booked["id"])
    mine = (await cast.asha.get(f"/consultations/{booked['id']}")).json
    assert (mine["status"], mine["ended_as"], mine["payment"]["status"]) == ("CANCELLED", "unpaid", "expired")
    assert (await cast.vik.post("/consultations", slot_id=booked["slot_id"])).status == 201


async def test_every_change_leaves_its_row_in_the_trail(cast: Cast) -> None:
    booked = await cast.confirmed(cast.asha, cast.dr_sen, reason="A cough for three weeks")
    rows = await cast.house.sql("select * from audit_logs where row_id = $1 order by created_at", booked["id"])
    assert [row["action"] for row in rows][:2] == ["insert", "update"]
    assert "confirmed_at" in rows[1]["changed"]
    assert str(rows[0]["actor_id"]) == cast.asha.me["id"]
    assert "cough" not in str(rows)
