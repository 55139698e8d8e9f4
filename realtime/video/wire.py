"""The messages of a call, as they stand on the wire: what a page asks, what it gets, what the other side hears."""

from enum import StrEnum
from typing import Annotated, Literal
from uuid import UUID

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints

from realtime.video.sdp import MAX_CANDIDATE_BYTES, MAX_SDP_BYTES, checked_candidate, checked_sdp
from server.core.models import Ask, Model
from server.core.privacy import Level

PeerId = Annotated[str, StringConstraints(pattern=r"^[0-9a-z]{1,40}$"), Level.INTERNAL]
# An epoch begins at the second in which it was made, so it grows also when the store was emptied in between.
Epoch = Annotated[int, Field(ge=1, le=2**53 - 1)]
Seq = Annotated[int, Field(ge=0, le=2**31 - 1)]
Device = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$"), Level.INTERNAL]


class CallRole(StrEnum):
    """What a person is in a call; all but the doctor give way when two offer at once."""

    DOCTOR = "doctor"
    PATIENT = "patient"
    RELATIVE = "relative"
    INTERPRETER = "interpreter"


class IceServer(Model):
    """One RTCIceServer."""

    urls: list[str]
    username: str
    credential: str


class MediaShown(Model):
    """What a side sends at the moment: sound, picture, and whether the picture is a screen."""

    audio: bool
    video: bool
    screen: bool = False


class PeerView(Model):
    """One of the others in a call. `epoch` is the one in which they came in; `media` is what they send.

    Not `here`: their socket broke, so nothing can be negotiated with them until they are back, but media may go on.
    """

    id: PeerId
    role: CallRole
    epoch: int
    here: bool
    media: MediaShown | None = None


class JoinCall(Ask):
    """Come into a call. `device` names the open page; `resume` is the epoch that this page was in before it lost us."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, hide_input_in_errors=True)

    consultation_id: Annotated[UUID, Field(strict=False)]
    device: Device
    resume: Epoch | None = None


class JoinedCall(Model):
    """`polite` is perfect negotiation's word: the side that gives way when both offer at once.

    `joined` is the epoch in which this page came in; with each peer it talks in the later of theirs and its own.
    """

    id: PeerId
    epoch: int
    joined: int
    polite: bool
    path: Literal["direct", "turn"]
    ice_servers: list[IceServer]
    peers: list[PeerView]


class Description(Ask):
    """An offer or an answer; rollback stays inside a browser."""

    type: Literal["offer", "answer"]
    sdp: Annotated[str, StringConstraints(max_length=MAX_SDP_BYTES), AfterValidator(checked_sdp)]


class Describe(Ask):
    """An offer or answer for one of the others. `seq` counts this side's descriptions within an epoch."""

    to: PeerId
    epoch: Epoch
    seq: Seq
    description: Description


class Candidate(Ask):
    """RTCIceCandidateInit, with the W3C's names."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, serialize_by_alias=True)

    candidate: Annotated[str, StringConstraints(max_length=MAX_CANDIDATE_BYTES), AfterValidator(checked_candidate)]
    sdp_mid: Annotated[str, StringConstraints(pattern=r"^[\x21-\x7e]{0,32}$")] | None = Field(
        default=None, alias="sdpMid"
    )
    sdp_m_line_index: Annotated[int, Field(ge=0, le=7)] | None = Field(default=None, alias="sdpMLineIndex")
    username_fragment: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9+/]{0,256}$")] | None = Field(
        default=None, alias="usernameFragment"
    )


class AddCandidates(Ask):
    """Ways to reach this side, for one of the others."""

    to: PeerId
    epoch: Epoch
    candidates: Annotated[list[Candidate], Field(min_length=1, max_length=20)]


class ShowMedia(Ask):
    """What this side sends from now on."""

    audio: bool
    video: bool
    screen: bool = False


class ReportQuality(Ask):
    """How the call is for this side, in numbers; times in milliseconds, rates in kbit/s, shares from 0 to 1."""

    score: Annotated[int, Field(ge=0, le=100)]
    loss: Annotated[float, Field(ge=0, le=1)] = 0.0
    rtt_ms: Annotated[float, Field(ge=0, le=600_000)] | None = None
    jitter_ms: Annotated[float, Field(ge=0, le=600_000)] | None = None
    concealed: Annotated[float, Field(ge=0, le=1)] = 0.0
    frozen_ms: Annotated[float, Field(ge=0, le=600_000)] = 0.0
    in_kbps: Annotated[float, Field(ge=0, le=10_000_000)] = 0.0
    out_kbps: Annotated[float, Field(ge=0, le=10_000_000)] = 0.0
    picture: Literal["full", "small", "none"] = "full"
    route: Literal["direct", "turn", "hop", "livekit"] = "direct"


class RenewIce(Ask):
    """Fresh TURN credentials for an ICE restart."""


class IceAnswer(Model):
    """ICE servers whose credentials hold for `good_seconds`."""

    ice_servers: list[IceServer]
    good_seconds: int


class LeaveCall(Ask):
    """Go out of the call."""


class Accepted(Model):
    """The signal was passed on; `epoch` is the call's, so that a page behind notices."""

    epoch: int
