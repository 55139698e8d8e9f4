"""Accounts over HTTP: register, verify, log in and out, throttle, second factor, invitation, disabling."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pyotp import random_base32
from pyotp.totp import TOTP

from server.accounts import ResetRequested, normal_email
from server.core.outbox import unpack_payload
from server.core.settings import Settings
from server.core.valkey import connect_redis
from tests.conftest import PASSWORD
from tests.house import Cast, Client, House, open_house_of

NEW = "a kettle of green tea"


async def mailed_token(house: House, to: str, where: str) -> str:
    """The token of the newest link that was mailed to an address."""
    async with asyncio.timeout(15):
        while True:
            inbox = (await house.stranger().get("//dev/inbox.json")).json
            for mail in inbox:
                found = re.search(rf"{where}\?token=([A-Za-z0-9_-]+)", mail["text"])
                if mail["to"] == to and found:
                    return found[1]
            await asyncio.sleep(0.05)


async def registered(house: House, email: str, **rest: object) -> Client:
    """A fresh patient who is signed in."""
    body: dict[str, Any] = {"email": email, "password": NEW, "name": "Kamala", **rest}
    answer = await house.stranger().post("/auth/register", key=None, **body)
    assert answer.status == 202, answer.text
    return await house.log_in(email, NEW)


@pytest.fixture(autouse=True)
async def no_tries_remembered(settings: Settings) -> AsyncIterator[None]:
    """Tests of one run share Valkey and the demo's people: failures counted in one must not slow the next."""
    redis = connect_redis(settings)
    await redis.flushdb()  # pyright: ignore[reportUnknownMemberType] - its **kwargs are untyped
    yield
    await redis.flushdb()  # pyright: ignore[reportUnknownMemberType] - its **kwargs are untyped
    await redis.aclose()


@pytest.fixture
async def strict_house(settings: Settings, owner_url: str) -> AsyncIterator[House]:
    """The same people in a house that is no demo: addresses are verified, staff need a second factor."""
    async with open_house_of(settings.model_copy(update={"demo": False}), owner_url) as opened:
        yield opened


async def test_an_address_is_one_account_in_any_spelling(house: House) -> None:
    someone = house.stranger()
    typed = " Kamala.Devi@Example.ORG "
    for email in (typed, "kamala.devi@example.org", "ｋamala.devi@example.org"):
        answer = await someone.post("/auth/register", key=None, email=email, password=NEW, name="Kamala")
        assert (answer.status, answer.json) == (202, {"accepted": True})
    assert await house.value("select count(*) from users where created_at > now() - interval '1 minute'") >= 1
    one = await house.log_in("KAMALA.DEVI@EXAMPLE.ORG", NEW)
    two = await house.log_in("ｋamala.devi@example.org ", NEW)
    assert one.me["id"] == two.me["id"]
    assert one.me["email"] == typed.strip()
    await mailed_token(house, typed.strip(), "/verify")


@pytest.mark.parametrize("name", ["K", "Kamala", "O’Brien-d'Souza", "कमला", "N" * 120, "Zoe\u0301"])
async def test_a_name_is_kept_as_typed(house: House, name: str) -> None:
    one = await registered(house, "one@example.org", name=name)
    assert normal_email(one.me["name"]) == normal_email(name)
    assert "null" not in one.me["name"]


@pytest.mark.parametrize(
    ("password", "code"),
    [
        ("short", "too-short"),
        ("x" * 129, "too-long"),
        ("1234567890", "common"),
        ("qwertyuiop", "common"),
        ("amrutam2026", "own-words"),
        ("Kamala-one-1", "own-words"),
    ],
)
async def test_a_password_that_many_would_guess_is_refused(house: House, password: str, code: str) -> None:
    answer = await house.stranger().post(
        "/auth/register", key=None, email="kamala@example.org", password=password, name="Kamala One"
    )
    assert answer.status == 422
    assert [(error["field"], error["code"]) for error in answer.json["errors"]] == [("password", code)]


async def test_role_is_never_taken_from_the_body(house: House) -> None:
    answer = await house.stranger().post(
        "/auth/register", key=None, email="x@example.org", password=NEW, name="X", role="ADMIN"
    )
    assert answer.status == 422


async def test_wrong_and_unknown_look_the_same_and_slow_down(house: House) -> None:
    someone = house.stranger()
    answers = [
        await someone.post("/auth/login", key=None, email=email, password="wrong wrong wrong")
        for email in ("patient1@example.org", "nobody@example.org")
    ]
    assert [a.status for a in answers] == [401, 401]
    first, second = ({**a.json, "request_id": ""} for a in answers)
    assert first == second
    for email in ("patient1@example.org", "nobody@example.org"):
        for _ in range(4):
            await someone.post("/auth/login", key=None, email=email, password="wrong wrong wrong")
        late = await someone.post("/auth/login", key=None, email=email, password=PASSWORD)
        assert (late.status, late.code) == (429, "too-many-tries")
        assert 1 <= int(late.headers["Retry-After"]) <= 4
    assert (await house.log_in("patient2@example.org", PASSWORD)).me["role"] == "PATIENT"


async def test_the_token_is_nowhere_in_the_database_and_dies_at_logout(cast: Cast) -> None:
    house, asha = cast.house, cast.asha
    other = await house.log_in("patient1@example.org", PASSWORD)
    rows = await house.sql("select token_hash from sessions")
    assert all(len(row["token_hash"]) == 32 for row in rows)
    assert len((await asha.get("/auth/sessions")).json["items"]) == 2
    assert (await asha.post("/auth/logout", key=None)).status == 200
    assert (await asha.get("/me")).status == 401
    assert (await other.get("/me")).status == 200


async def test_a_cookie_needs_origin_and_csrf_token(house: House) -> None:
    someone = house.stranger()
    answer = await someone.post("/auth/login", key=None, email="patient1@example.org", password=PASSWORD)
    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert "session_token" not in answer.json
    assert answer.json["token"] is None
    session = {"Cookie": cookie.split(";")[0]}
    assert (await someone.call("PATCH", "/me", {"language": "hi"}, headers=session)).code == "foreign-request"
    full = {**session, "Origin": house.settings.public_url, "X-CSRF-Token": answer.json["csrf_token"]}
    changed = await someone.call("PATCH", "/me", {"language": "hi"}, headers=full)
    assert (changed.status, changed.json["language"]) == (200, "hi")


async def test_me_is_sealed_and_changes(cast: Cast) -> None:
    asha = cast.asha
    answer = await asha.patch(
        "/me", name="Asha V.", phone="98765 43210", birth_date="1988-04-18", sex="other", reminders={"mail": False}
    )
    assert answer.status == 200, answer.text
    assert answer.json["phone"] == "+919876543210"
    assert (answer.json["birth_date"], answer.json["sex"]) == ("1988-04-18", "other")
    assert answer.json["reminders"] == {"mail": False, "sms": True}
    assert (await asha.get("/me")).json == answer.json
    assert (await asha.patch("/me", phone=None)).json["phone"] is None
    row = (
        await cast.house.sql(
            "select u.*, p.* from users u join patients p on p.user_id = u.id where u.id = $1::text::uuid",
            asha.me["id"],
        )
    )[0]
    assert b"Asha" not in row["name"]
    assert b"1988" not in row["birth_date"]
    refused_bodies: list[dict[str, object]] = [
        {"birth_date": "1700-01-01"},
        {"birth_date": "2999-01-01"},
        {"phone": "12"},
        {"role": "ADMIN"},
        {"language": "xx"},
        {"time_zone": "Mars/Olympus"},
        {"name": ""},
        {"name": "a\u202eb"},
    ]
    for bad in refused_bodies:
        refused = await asha.call("PATCH", "/me", bad)
        assert refused.status == 422, bad
        assert refused.json["errors"][0]["field"] == next(iter(bad))


async def enrolled(client: Client) -> tuple[TOTP, list[str], str]:
    """Switch a second factor on: the authenticator, the recovery codes, and the code that was used."""
    secret = (await client.post("/auth/totp", key=None)).json
    assert secret["otpauth_url"].startswith("otpauth://totp/")
    totp = TOTP(secret["secret"])
    code = totp.now()
    answer = await client.post("/auth/totp/confirm", key=None, otp=code)
    assert answer.status == 200, answer.text
    assert "Set-Cookie" not in answer.headers
    return totp, answer.json["recovery_codes"], code


async def log_in_with(house: House, email: str, otp: str | None) -> Any:
    body: dict[str, Any] = {"email": email, "password": PASSWORD, **({"otp": otp} if otp else {})}
    return await house.stranger().post("/auth/login", key=None, **body)


async def test_a_second_factor_is_asked_for_and_each_code_passes_once(cast: Cast) -> None:
    house, email = cast.house, "patient1@example.org"
    totp, recovery, used = await enrolled(cast.asha)
    assert len(set(recovery)) == 10
    assert (await log_in_with(house, email, None)).code == "otp-required"
    assert (await log_in_with(house, email, used)).code == "otp-wrong"
    assert (await log_in_with(house, email, "１２３４５６")).code == "otp-wrong"
    # The step after this one is within the window, and not used up.
    after = totp.at((int(await house.value("select last_step from totp_credentials")) + 1) * 30)
    answers = await asyncio.gather(*(log_in_with(house, email, after) for _ in range(10)))
    assert Counter(answer.status for answer in answers)[200] == 1
    stored = await house.sql("select code_hash from recovery_codes")
    assert all(row["code_hash"].startswith("$argon2id$") for row in stored)


async def test_a_recovery_code_passes_once_and_ends_other_sessions(cast: Cast) -> None:
    house, email = cast.house, "patient1@example.org"
    _, recovery, _ = await enrolled(cast.asha)
    assert (await log_in_with(house, email, recovery[0].lower())).status == 200
    assert (await cast.asha.get("/me")).status == 401
    assert (await log_in_with(house, email, recovery[0])).code == "otp-wrong"
    assert await house.value("select count(*) from recovery_codes where used_at is not null") == 1


async def test_five_wrong_codes_close_the_second_step(cast: Cast) -> None:
    house, email = cast.house, "patient1@example.org"
    await enrolled(cast.asha)
    answers = [await log_in_with(house, email, f"{n:06}") for n in range(6)]
    assert [answer.status for answer in answers] == [401] * 5 + [429]


async def test_an_old_login_steps_up_and_keeps_its_session(cast: Cast) -> None:
    house, asha = cast.house, cast.asha
    other = await house.log_in("patient1@example.org", PASSWORD)
    await house.sql("update sessions set auth_at = auth_at - interval '11 minutes'")
    await asha.patch("/me", language="en")  # drops the cached sessions, as anything about them does
    async with asyncio.timeout(1):
        while (await asha.post("/auth/totp", key=None)).status != 403:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.01)
    assert (await asha.post("/auth/password", key=None, password=NEW)).code == "step-up-required"
    assert (await asha.post("/auth/step-up", key=None, password=NEW)).code == "wrong-password"
    up = await asha.post("/auth/step-up", key=None, password=PASSWORD)
    assert up.status == 200, up.text
    assert "Set-Cookie" not in up.headers
    assert (await asha.post("/auth/password", key=None, password=NEW)).status == 200
    assert (await asha.get("/me")).status == 200
    assert (await other.get("/me")).status == 401


async def test_outside_the_demo_addresses_are_verified_first(strict_house: House) -> None:
    house, someone = strict_house, strict_house.stranger()
    body: dict[str, Any] = {"email": "kamala@example.org", "password": NEW}
    assert (await someone.post("/auth/register", key=None, name="Kamala", **body)).status == 202
    assert (await someone.post("/auth/login", key=None, **body)).code == "address-unverified"
    token = await mailed_token(house, "kamala@example.org", "/verify")
    for _ in range(3):
        await someone.get("//verify", token=token)
    assert (await someone.post("/auth/verify", key=None, token=token)).status == 200
    assert (await someone.post("/auth/verify", key=None, token=token)).code == "link-over"
    assert (await someone.post("/auth/login", key=None, **body)).status == 200


async def test_outside_the_demo_staff_enrol_before_anything_else(strict_house: House) -> None:
    someone = strict_house.stranger()
    answer = await someone.post("/auth/login", key=None, email="doctor1@example.org", password=PASSWORD, token=True)
    assert answer.json["second_step"] is True
    someone.token = answer.json["token"]
    assert (await someone.get("/me")).status == 401
    assert (await someone.get("/consultations")).status == 401
    secret = (await someone.post("/auth/totp", key=None)).json["secret"]
    wrong = await someone.post("/auth/totp/confirm", key=None, otp="000000")
    assert (wrong.status, wrong.code) == (422, "otp-wrong")
    done = await someone.post("/auth/totp/confirm", key=None, otp=TOTP(secret).now(), token=True)
    assert done.status == 200, done.text
    assert (await someone.get("/auth/sessions")).status == 401
    someone.token = done.json["token"]
    me = (await someone.get("/me")).json
    assert (me["role"], me["mfa_enabled"], me["second_step"]) == ("DOCTOR", True, False)


async def test_an_invited_doctor_sets_a_password_and_is_listed_once_verified(cast: Cast) -> None:
    house, mira, someone = cast.house, cast.mira, cast.house.stranger()
    body: dict[str, Any] = {
        "email": "Nilima@example.org",
        "name": "Dr. Nilima Bose",
        "specialty": "Neurology",
        "languages": ["en", "bn"],
        "registration_number": "WBMC 70001",
        "fee": 75000,
    }
    assert (await cast.asha.post("/admin/doctors", key=None, **body)).status == 403
    invited = await mira.post("/admin/doctors", key=None, **body)
    assert invited.status == 201, invited.text
    assert (await mira.post("/admin/doctors", key=None, **body)).code == "address-taken"
    doctor_id = invited.json["id"]
    assert (await someone.get(f"/doctors/{doctor_id}")).status == 404
    token = await mailed_token(house, "Nilima@example.org", "/invitation")
    weak = await someone.post("/auth/invitation", key=None, token=token, password="1234567890")
    assert weak.status == 422
    assert (await someone.post("/auth/invitation", key=None, token=token, password=NEW)).status == 200
    assert (await someone.post("/auth/invitation", key=None, token=token, password=NEW)).code == "link-over"
    nilima = await house.log_in("nilima@example.org", NEW)
    assert nilima.me["doctor_id"] == doctor_id
    assert (await mira.post(f"/admin/doctors/{doctor_id}/verify", key=None)).json["verified_at"] is not None
    assert (await someone.get("/doctors", q="bose")).json["items"][0]["id"] == doctor_id


async def test_a_disabled_user_is_out_at_once(cast: Cast) -> None:
    house, mira, vik = cast.house, cast.mira, cast.vik
    user_id = vik.me["id"]
    assert (await cast.asha.post(f"/admin/users/{user_id}/disable", key=None)).status == 403
    assert (await mira.post(f"/admin/users/{mira.me['id']}/disable", key=None)).code == "not-yourself"
    disabled = await mira.post(f"/admin/users/{user_id}/disable", key=None)
    assert disabled.json["disabled_at"] is not None
    async with asyncio.timeout(1):
        while (await vik.get("/me")).status != 401:  # noqa: ASYNC110 - the answer is the thing itself
            await asyncio.sleep(0.01)
    assert (await log_in_with(house, "patient2@example.org", None)).code == "wrong-password"
    users = (await mira.get("/admin/users", role="PATIENT")).json["items"]
    assert {user["email"] for user in users} >= {"patient1@example.org", "patient2@example.org"}
    assert (await mira.post(f"/admin/users/{user_id}/enable", key=None)).json["disabled_at"] is None
    assert (await log_in_with(house, "patient2@example.org", None)).status == 200


async def test_a_forgotten_password_is_reset_by_its_link(cast: Cast) -> None:
    house, someone = cast.house, cast.house.stranger()
    for email in ("nobody@example.org", "patient1@example.org"):
        assert (await someone.post("/auth/reset", key=None, email=email)).status == 202
    [row] = await house.sql("select name, payload from outbox where name = 'user.reset_requested'")
    event = unpack_payload(row["name"], row["payload"], house.server.database.cipher)
    assert isinstance(event, ResetRequested)
    token = event.token
    assert (await someone.post("/auth/reset/confirm", key=None, token=token, password=NEW)).status == 200
    assert (await cast.asha.get("/me")).status == 401
    assert (await someone.post("/auth/reset/confirm", key=None, token=token, password=NEW)).status == 404
    assert (await house.log_in("patient1@example.org", NEW)).me["id"] == cast.asha.me["id"]


async def test_many_logins_at_once_are_bounded_not_lost(house: House) -> None:
    answers = await asyncio.gather(
        *(
            house.stranger().post("/auth/login", key=None, email=f"patient{n % 8 + 1}@example.org", password=PASSWORD)
            for n in range(120)
        )
    )
    counted = Counter(answer.status for answer in answers)
    assert counted[200] >= 34
    assert set(counted) <= {200, 503}
    assert all("Retry-After" in answer.headers for answer in answers if answer.status == 503)


def test_totp_library_makes_secrets_of_160_bits() -> None:
    assert len(random_base32(32)) == 32
