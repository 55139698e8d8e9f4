"""Random bytes that are used once and are no secret: nonces and ids. Secrets come from `secrets`.

They are the system's own, drawn many at a time: each draw is a system call, and a booking takes a dozen.
"""

from __future__ import annotations

import os
from collections import deque

SIZE = 12
AT_A_TIME = 256
_drawn: deque[bytes] = deque()
os.register_at_fork(after_in_child=_drawn.clear)


def nonce() -> bytes:
    """Twelve random bytes that nobody else gets: no other call, thread or child process."""
    while True:
        try:
            return _drawn.popleft()
        except IndexError:
            fresh = os.urandom(SIZE * AT_A_TIME)
            _drawn.extend(fresh[at : at + SIZE] for at in range(0, len(fresh), SIZE))
