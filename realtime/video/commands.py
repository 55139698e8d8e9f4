"""The table of a call's commands."""

from __future__ import annotations

from realtime.delivery.commands import Command, bound, command
from realtime.video.call import CallFull, NotInCall, TakenOver
from realtime.video.ports import Calls
from realtime.video.signaling import (
    CallsAway,
    add_candidates,
    describe,
    join_call,
    leave_call,
    renew_ice,
    report_quality,
    show_media,
)
from server.core.routes import signed_in

_IN_CALL = [NotInCall, TakenOver, CallsAway]


def call_commands(calls: Calls) -> list[Command]:
    """What a socket may ask in a call. Who may join is decided by `calls.may_join`; the rest is for who has joined."""
    return [
        command("video.join", bound(join_call, calls), access=signed_in, raises=[TakenOver, CallFull, CallsAway]),
        command("video.describe", bound(describe, calls), access=signed_in, raises=_IN_CALL),
        command("video.candidate", bound(add_candidates, calls), access=signed_in, raises=_IN_CALL),
        command("video.media", bound(show_media, calls), access=signed_in, raises=_IN_CALL),
        command("video.quality", bound(report_quality, calls), access=signed_in, raises=_IN_CALL),
        command("video.ice", bound(renew_ice, calls), access=signed_in, raises=_IN_CALL),
        command("video.leave", bound(leave_call, calls), access=signed_in, raises=[CallsAway]),
    ]
