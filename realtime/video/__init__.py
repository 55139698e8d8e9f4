"""Video: who is in a call, which of their signals are passed on, and the TURN credentials they get."""

from realtime.video.ports import CallRole, Calls, CallSocket, CallStore, Kept, SignalBus
from realtime.video.signaling import (
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
from realtime.video.store import FallbackCallStore, MemoryCallStore, RedisCallStore
from realtime.video.turn import Turn
from realtime.video.wire import (
    AddCandidates,
    Describe,
    IceAnswer,
    JoinCall,
    JoinedCall,
    LeaveCall,
    RenewIce,
    ReportQuality,
    ShowMedia,
)

__all__ = [
    "AddCandidates",
    "CallRole",
    "CallSocket",
    "CallStore",
    "Calls",
    "Describe",
    "FallbackCallStore",
    "IceAnswer",
    "JoinCall",
    "JoinedCall",
    "Kept",
    "LeaveCall",
    "MemoryCallStore",
    "RedisCallStore",
    "RenewIce",
    "ReportQuality",
    "ShowMedia",
    "SignalBus",
    "Turn",
    "add_candidates",
    "close_call",
    "describe",
    "join_call",
    "leave_call",
    "renew_ice",
    "report_quality",
    "show_media",
    "socket_closed",
]
