"""The rules of a call: who meets whom in which epoch, what is passed on, what is kept, and what is refused."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from pydantic import SecretStr, ValidationError

from realtime.video import (
    AddCandidates,
    CallRole,
    Calls,
    CallStore,
    Describe,
    FallbackCallStore,
    JoinCall,
    JoinedCall,
    Kept,
    LeaveCall,
    MemoryCallStore,
    RedisCallStore,
    RenewIce,
    ReportQuality,
    ShowMedia,
    Turn,
    add_candidates,
    close_call,
    describe,
    join_call,
    leave_call,
    renew_ice,
    report_quality,
    show_media,
    socket_closed,
)
from realtime.video.call import Call, CallFull, NotInCall, TakenOver
from realtime.video.ports import StoreAway
from realtime.video.sdp import checked_candidate, checked_sdp
from realtime.video.signaling import CallsAway
from server.core.errors import NotFound
from server.core.ids import ConsultationId, UserId
from server.core.settings import read_settings
from server.core.tx import Actor, Role
from server.core.valkey import connect_redis
from server.up import embedded_valkey

CONSULTATION = ConsultationId(UUID("0198c0de-0000-7000-8000-000000000001"))
ANOTHER = ConsultationId(UUID("0198c0de-0000-7000-8000-000000000002"))
NOON = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)

SDP = "\r\n".join(
    [
        "v=0",
        "o=- 1 2 IN IP4 127.0.0.1",
        "s=-",
        "t=0 0",
        "a=group:BUNDLE 0 1",
        "m=audio 9 UDP/TLS/RTP/SAVPF 111",
        "c=IN IP4 0.0.0.0",
        "a=ice-ufrag:abcd",
        "a=fingerprint:sha-256 " + ":".join(["AB"] * 32),
        "a=setup:actpass",
        "m=video 9 UDP/TLS/RTP/SAVPF 96",
        "",
    ]
)
CANDIDATE = "candidate:1 1 udp 2113937151 4f2a1b.local 50000 typ host generation 0 ufrag abcd network-cost 999"


@dataclass
class Page:
    """A connected page of somebody in the cast."""

    id: str
    actor: Actor
    state: dict[str, Any] = field(default_factory=dict[str, Any])


@dataclass
class Heard:
    """A signal that reached a socket."""

    to: str
    type: str
    data: dict[str, Any]


class Bus:
    """Carries signals to whoever the test asks about."""

    def __init__(self) -> None:
        self.signals: list[Heard] = []

    async def signal(self, room: str, type: str, data: dict[str, Any], *, to: str) -> None:  # noqa: A002
        assert room.startswith("consultation:")
        self.signals.append(Heard(to, type, data))

    def to(self, page: Page, type_: str) -> list[dict[str, Any]]:
        return [heard.data for heard in self.signals if heard.to == page.id and heard.type == type_]


def a_user(number: int, role: Role) -> Actor:
    return Actor(role=role, user_id=UserId(UUID(int=number)))


DR_RAO, ASHA = a_user(1, Role.DOCTOR), a_user(2, Role.PATIENT)
VIK, RAVI, LEELA, TARA = (a_user(number, Role.PATIENT) for number in (9, 3, 4, 5))


async def may_join(actor: Actor, consultation_id: ConsultationId) -> CallRole:
    if actor == VIK:
        raise NotFound
    if actor == DR_RAO:
        return CallRole.DOCTOR
    return CallRole.PATIENT if actor == ASHA else CallRole.RELATIVE


@dataclass
class House:
    """A call's surroundings, with a clock that the test moves."""

    store: CallStore
    bus: Bus = field(default_factory=Bus)
    now: datetime = NOON
    turn: Turn = field(default_factory=Turn)
    reports: list[tuple[ConsultationId, CallRole, ReportQuality]] = field(
        default_factory=list[tuple[ConsultationId, CallRole, ReportQuality]]
    )

    @property
    def calls(self) -> Calls:
        return Calls(
            self.store,
            self.bus,
            lambda: self.now,
            may_join,
            self.turn,
            lambda call, role, report: self.reports.append((call, role, report)),
        )

    async def join(
        self,
        page: Page,
        device: str = "first",
        resume: int | None = None,
        consultation_id: ConsultationId = CONSULTATION,
    ) -> JoinedCall:
        ask = JoinCall(consultation_id=consultation_id, device=device, resume=resume)
        return await join_call(self.calls, page, ask)

    async def describe(self, page: Page, to: str, epoch: int, seq: int = 1, kind: str = "offer") -> None:
        description = {"type": kind, "sdp": SDP}
        ask = Describe.model_validate({"to": to, "epoch": epoch, "seq": seq, "description": description})
        await describe(self.calls, page, ask)


@pytest.fixture(params=["memory", "redis"])
async def call_house(request: pytest.FixtureRequest) -> AsyncIterator[House]:
    """The same rules over both stores."""
    if request.param == "memory":
        yield House(MemoryCallStore())
        return
    # Not tmp_path: the services of a run by root belong to another account, which must be able to go there.
    with tempfile.TemporaryDirectory(prefix="amrutam-calls-") as folder:
        async with embedded_valkey(Path(folder)) as valkey:
            redis = connect_redis(read_settings({}, redis_url=SecretStr(valkey.url)))
            yield House(RedisCallStore(redis))
            await redis.aclose()


async def test_two_meet_and_the_patient_is_the_polite_one(call_house: House) -> None:
    asha, rao = Page("s1", ASHA), Page("s2", DR_RAO)
    first = await call_house.join(asha)
    assert (first.polite, first.path, first.ice_servers, first.peers) == (True, "direct", [], [])
    second = await call_house.join(rao)
    assert second.polite is False
    assert [(peer.id, peer.role) for peer in second.peers] == [(first.id, CallRole.PATIENT)]
    assert second.epoch > first.epoch
    (told,) = call_house.bus.to(asha, "video.peers")
    assert told["epoch"] == second.epoch
    assert [peer["id"] for peer in told["peers"]] == [second.id]


async def test_signals_reach_the_one_they_are_for_with_their_sender(call_house: House) -> None:
    asha, rao = Page("s1", ASHA), Page("s2", DR_RAO)
    patient = await call_house.join(asha)
    doctor = await call_house.join(rao)
    await call_house.describe(rao, patient.id, doctor.epoch)
    ask = AddCandidates.model_validate(
        {
            "to": doctor.id,
            "epoch": doctor.epoch,
            "candidates": [{"candidate": CANDIDATE, "sdpMid": "0", "sdpMLineIndex": 0, "usernameFragment": "abcd"}],
        }
    )
    await add_candidates(call_house.calls, asha, ask)
    (offer,) = call_house.bus.to(asha, "video.describe")
    assert offer == {
        "from": doctor.id,
        "epoch": doctor.epoch,
        "seq": 1,
        "description": {"type": "offer", "sdp": SDP},
    }
    (candidates,) = call_house.bus.to(rao, "video.candidate")
    assert candidates["from"] == patient.id
    assert candidates["candidates"] == [
        {"candidate": CANDIDATE, "sdpMid": "0", "sdpMLineIndex": 0, "usernameFragment": "abcd"}
    ]


async def test_a_stranger_does_not_come_in(call_house: House) -> None:
    with pytest.raises(NotFound):
        await call_house.join(Page("s9", VIK))
    with pytest.raises(NotInCall):
        await call_house.describe(Page("s9", VIK), "a", 1)


async def test_a_reload_begins_an_epoch_and_old_messages_are_dropped(call_house: House) -> None:
    asha, rao = Page("s1", ASHA), Page("s2", DR_RAO)
    patient = await call_house.join(asha)
    before = await call_house.join(rao)
    after = await call_house.join(Page("s3", ASHA), device="second")
    assert after.epoch > before.epoch
    assert after.id == patient.id
    call_house.bus.signals.clear()
    await call_house.describe(rao, patient.id, before.epoch)
    await call_house.describe(rao, patient.id, after.epoch + 1)
    assert call_house.bus.signals == []
    await call_house.describe(rao, patient.id, after.epoch)
    assert len(call_house.bus.to(Page("s3", ASHA), "video.describe")) == 1


async def test_the_older_tab_is_told_and_can_do_nothing_any_more(call_house: House) -> None:
    old, new, rao = Page("s1", ASHA), Page("s3", ASHA), Page("s2", DR_RAO)
    await call_house.join(old)
    doctor = await call_house.join(rao)
    joined = await call_house.join(new, device="second")
    assert call_house.bus.to(old, "video.taken_over") == [{}]
    assert call_house.bus.to(new, "video.taken_over") == []
    with pytest.raises(TakenOver):
        await call_house.describe(old, doctor.id, joined.epoch)
    with pytest.raises(TakenOver):
        await call_house.join(old, resume=doctor.epoch)
    await leave_call(call_house.calls, old, LeaveCall())
    await call_house.describe(new, doctor.id, joined.epoch)


async def test_a_page_that_resumes_keeps_the_epoch_and_hears_what_it_missed(call_house: House) -> None:
    asha, rao = Page("s1", ASHA), Page("s2", DR_RAO)
    patient = await call_house.join(asha)
    doctor = await call_house.join(rao)
    await socket_closed(call_house.calls, asha)
    await call_house.describe(rao, patient.id, doctor.epoch, seq=1)
    await call_house.describe(rao, patient.id, doctor.epoch, seq=2)
    again = Page("s4", ASHA)
    resumed = await call_house.join(again, resume=doctor.epoch)
    assert resumed.epoch == doctor.epoch
    assert resumed.joined == patient.joined
    assert [said["seq"] for said in call_house.bus.to(again, "video.describe")] == [2]
    assert call_house.bus.to(again, "video.taken_over") == []


async def test_who_lost_the_socket_is_not_here_but_has_not_left(call_house: House) -> None:
    asha, rao = Page("s1", ASHA), Page("s2", DR_RAO)
    await call_house.join(asha)
    await socket_closed(call_house.calls, asha)
    doctor = await call_house.join(rao)
    assert [(peer.role, peer.here) for peer in doctor.peers] == [(CallRole.PATIENT, False)]


async def test_an_emptied_store_costs_no_running_call_its_epoch() -> None:
    asha, rao = Page("s1", ASHA), Page("s2", DR_RAO)
    before = House(MemoryCallStore())
    await before.join(asha)
    epoch = (await before.join(rao)).epoch
    after = House(MemoryCallStore(), now=NOON + timedelta(minutes=5))
    with pytest.raises(NotInCall):
        await after.describe(rao, "a", epoch)
    patient = await after.join(asha, resume=epoch)
    doctor = await after.join(rao, resume=epoch)
    assert patient.epoch == doctor.epoch == doctor.joined == epoch
    await after.describe(rao, patient.id, epoch)
    assert len(after.bus.to(asha, "video.describe")) == 1
    anew = await after.join(rao, device="other")
    assert anew.epoch > epoch


async def test_an_epoch_from_the_future_is_not_believed(call_house: House) -> None:
    joined = await call_house.join(Page("s1", ASHA), resume=2**53 - 1)
    assert joined.epoch == int(NOON.timestamp())


async def test_leaving_is_told_to_the_others_and_ends_the_right_to_signal(call_house: House) -> None:
    asha, rao = Page("s1", ASHA), Page("s2", DR_RAO)
    patient = await call_house.join(asha)
    await call_house.join(rao)
    await leave_call(call_house.calls, asha, LeaveCall())
    assert call_house.bus.to(rao, "video.peers")[-1]["peers"] == []
    assert call_house.bus.to(rao, "video.peers")[-1]["left"] == patient.id
    with pytest.raises(NotInCall):
        await renew_ice(call_house.calls, asha, RenewIce())


async def test_a_socket_is_in_one_call_at_a_time(call_house: House) -> None:
    rao, asha = Page("s2", DR_RAO), Page("s1", ASHA)
    await call_house.join(asha)
    await call_house.join(rao)
    await call_house.join(rao, consultation_id=ANOTHER)
    assert call_house.bus.to(asha, "video.peers")[-1]["peers"] == []


async def test_what_is_sent_is_told_now_and_to_who_comes_later(call_house: House) -> None:
    asha, rao = Page("s1", ASHA), Page("s2", DR_RAO)
    patient = await call_house.join(asha)
    await show_media(call_house.calls, asha, ShowMedia(audio=False, video=True))
    doctor = await call_house.join(rao)
    assert doctor.peers[0].media is not None
    assert doctor.peers[0].media.audio is False
    await show_media(call_house.calls, asha, ShowMedia(audio=True, video=False, screen=True))
    assert call_house.bus.to(rao, "video.media") == [
        {"from": patient.id, "audio": True, "video": False, "screen": True}
    ]


async def test_a_third_disturbs_no_pair_and_a_fifth_finds_it_full(call_house: House) -> None:
    asha, rao = Page("s1", ASHA), Page("s2", DR_RAO)
    patient = await call_house.join(asha)
    doctor = await call_house.join(rao)
    await call_house.join(Page("s3", RAVI))
    await call_house.describe(rao, patient.id, doctor.epoch, seq=7)
    assert [said["seq"] for said in call_house.bus.to(asha, "video.describe")] == [7]
    leela = Page("s4", LEELA)
    await call_house.join(leela)
    with pytest.raises(CallFull):
        await call_house.join(Page("s5", TARA))
    await socket_closed(call_house.calls, leela)
    call_house.now += timedelta(seconds=61)
    await call_house.join(Page("s5", TARA))


async def test_when_the_consultation_is_over_every_page_hears_it(call_house: House) -> None:
    asha, rao = Page("s1", ASHA), Page("s2", DR_RAO)
    await call_house.join(asha)
    doctor = await call_house.join(rao)
    await close_call(call_house.calls, CONSULTATION)
    assert call_house.bus.to(asha, "video.ended") == [{}]
    assert call_house.bus.to(rao, "video.ended") == [{}]
    with pytest.raises(NotInCall):
        await call_house.describe(asha, doctor.id, doctor.epoch)


async def test_many_changes_at_once_lose_none(call_house: House) -> None:
    people = [Page("s1", ASHA), Page("s2", DR_RAO), Page("s3", RAVI), Page("s4", LEELA)]
    joined = await asyncio.gather(*[call_house.join(page) for page in people])
    assert len({one.epoch for one in joined}) == len(people)
    kept = await call_house.store.load(CONSULTATION)
    assert kept is not None
    assert {person.socket for person in kept.call.people} == {page.id for page in people}


async def test_reports_land_without_a_person(call_house: House) -> None:
    rao = Page("s2", DR_RAO)
    await call_house.join(rao)
    await report_quality(call_house.calls, rao, ReportQuality(score=88, loss=0.01, rtt_ms=40))
    assert [(call, role, report.score) for call, role, report in call_house.reports] == [(CONSULTATION, "doctor", 88)]


async def test_turn_credentials_are_what_coturn_checks_and_fresh_each_time() -> None:
    turn = Turn(urls=("turn:relay.example:3478?transport=udp",), secret="s3cret")
    house = House(MemoryCallStore(), turn=turn)
    asha = Page("s1", ASHA)
    joined = await house.join(asha)
    assert joined.path == "turn"
    (server,) = joined.ice_servers
    expiry, _, opaque = server.username.partition(":")
    assert int(expiry) == int((NOON + timedelta(minutes=10)).timestamp())
    assert str(ASHA.user_id) not in opaque
    digest = hmac.new(b"s3cret", server.username.encode(), hashlib.sha1).digest()
    assert server.credential == base64.b64encode(digest).decode()
    house.now += timedelta(minutes=25)
    renewed = await renew_ice(house.calls, asha, RenewIce())
    assert int(renewed.ice_servers[0].username.partition(":")[0]) == int((NOON + timedelta(minutes=35)).timestamp())


class NoStore:
    """A store that cannot be reached."""

    async def load(self, consultation_id: ConsultationId) -> Kept | None:
        raise StoreAway

    async def swap(self, consultation_id: ConsultationId, version: int, call: Call) -> bool:
        raise StoreAway

    async def keep_description(self, consultation_id: ConsultationId, sender: str, receiver: str, text: str) -> None:
        raise StoreAway

    async def descriptions_for(self, consultation_id: ConsultationId, receiver: str) -> list[str]:
        raise StoreAway

    async def forget(self, consultation_id: ConsultationId) -> None:
        raise StoreAway


async def test_without_the_store_joining_is_refused_in_words() -> None:
    with pytest.raises(CallsAway) as refused:
        await House(NoStore()).join(Page("s1", ASHA))
    assert refused.value.status == 503


async def test_without_the_store_two_meet_within_one_process() -> None:
    house = House(FallbackCallStore(NoStore(), MemoryCallStore()))
    asha, rao = Page("s1", ASHA), Page("s2", DR_RAO)
    patient = await house.join(asha)
    doctor = await house.join(rao)
    await house.describe(rao, patient.id, doctor.epoch)
    assert len(house.bus.to(asha, "video.describe")) == 1


async def test_a_redis_that_cannot_be_reached_is_a_store_that_is_away() -> None:
    redis = connect_redis(read_settings({}, redis_url=SecretStr("redis://127.0.0.1:1/0")))
    with pytest.raises(StoreAway):
        await RedisCallStore(redis).load(CONSULTATION)
    await redis.aclose()


@pytest.mark.parametrize(
    "sdp",
    [
        "",
        "hello",
        "v=0",
        SDP + "a" * 65536,
        SDP + "m=video 9 UDP/TLS/RTP/SAVPF 96\r\n" * 7,
        SDP.replace("UDP/TLS/RTP/SAVPF", "RTP/AVP"),
        SDP + "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:x\r\n",
        SDP.replace("a=fingerprint", "a=finger"),
        SDP.replace("sha-256", "md5"),
        SDP + "a=x\x00y\r\n",
        SDP + "\r\n\r\n",
    ],
)
def test_what_is_no_browsers_description_is_refused(sdp: str) -> None:
    if sdp == "v=0":
        assert checked_sdp(sdp) == sdp
        return
    with pytest.raises(ValueError, match=r"\w"):
        checked_sdp(sdp)


@pytest.mark.parametrize("type_", ["pranswer", "rollback", "", 1, None])
def test_only_offers_and_answers_are_passed_on(type_: object) -> None:
    with pytest.raises(ValidationError):
        Describe.model_validate({"to": "a", "epoch": 1, "seq": 1, "description": {"type": type_, "sdp": SDP}})


@pytest.mark.parametrize(
    ("change", "fits"),
    [
        ({}, True),
        ({"candidate": ""}, True),
        ({"candidate": "candidate:1 1 tcp 1518280447 192.168.1.7 9 typ host tcptype active"}, True),
        ({"candidate": "candidate:2 1 UDP 1694498815 2001:db8::1 50000 typ srflx raddr :: rport 0"}, True),
        ({"candidate": "candidate:1 1 udp 1 a 1 typ host" + " x" * 600}, False),
        ({"candidate": "nonsense"}, False),
        ({"candidate": CANDIDATE + "\r\na=evil"}, False),
        ({"sdpMid": 0}, False),
        ({"sdpMLineIndex": "0"}, False),
        ({"sdpMLineIndex": 8}, False),
        ({"sdpMLineIndex": True}, False),
        ({"extra": 1}, False),
    ],
)
def test_candidates_are_typed_and_bounded(change: dict[str, object], *, fits: bool) -> None:
    candidate = {"candidate": CANDIDATE, "sdpMid": "0", "sdpMLineIndex": 0, **change}
    ask = {"to": "a", "epoch": 1, "candidates": [candidate]}
    if fits:
        AddCandidates.model_validate(ask)
    else:
        with pytest.raises(ValidationError):
            AddCandidates.model_validate(ask)


def test_a_list_of_candidates_is_bounded() -> None:
    for count in (0, 21):
        with pytest.raises(ValidationError):
            AddCandidates.model_validate({"to": "a", "epoch": 1, "candidates": [{"candidate": CANDIDATE}] * count})
    assert checked_candidate("") == ""
