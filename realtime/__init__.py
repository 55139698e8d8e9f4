"""What reaches a browser without being asked: Socket.IO delivery, rooms and video signaling."""

from realtime.app import Realtime
from realtime.rooms import OPS, Operations

__all__ = ["OPS", "Operations", "Realtime"]
