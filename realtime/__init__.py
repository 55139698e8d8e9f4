"""What reaches a browser without being asked: Socket.IO delivery, rooms and video signaling."""

from realtime.app import Realtime

__all__ = ["Realtime"]
