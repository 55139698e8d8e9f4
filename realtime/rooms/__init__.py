"""The rooms that browsers watch, and what may be asked in them."""

from realtime.rooms.bound import BoundRooms, live_rooms

__all__ = ["BoundRooms", "live_rooms"]
