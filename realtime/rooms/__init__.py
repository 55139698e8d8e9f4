"""The rooms that browsers watch, and what may be asked in them."""

from realtime.rooms.bound import BoundRooms

__all__ = ["BoundRooms"]
