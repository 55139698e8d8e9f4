"""The rooms that browsers watch, and what may be asked in them."""

from realtime.rooms.bound import BoundRooms
from realtime.rooms.operations import OPS, Operations, figures_of

__all__ = ["OPS", "BoundRooms", "Operations", "figures_of"]
