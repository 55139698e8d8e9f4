"""The edge: from an HTTP request to an operation and back. No rule of any feature lives here."""

from server.core.edge.calls import Call, Pages, Sessions
from server.core.edge.handler import Edge

__all__ = ["Call", "Edge", "Pages", "Sessions"]
