"""A nonce is used once: by one thread, in one process."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

from server.core.nonces import AT_A_TIME, nonce

IN_A_CHILD = """
import os
from server.core.nonces import AT_A_TIME, nonce
mine = nonce()
there, here = os.pipe()
if os.fork() == 0:
    os.write(here, b"".join(nonce() for _ in range(AT_A_TIME)))
    os._exit(0)
own = b"".join(nonce() for _ in range(AT_A_TIME))
os.wait()
print((mine + own + os.read(there, 1 << 16)).hex())
"""


def test_no_two_threads_get_the_same() -> None:
    with ThreadPoolExecutor(8) as threads:
        drawn = [each.result() for each in [threads.submit(nonce) for _ in range(AT_A_TIME * 40)]]
    assert len(set(drawn)) == AT_A_TIME * 40
    assert {len(each) for each in drawn} == {12}


def test_no_child_gets_its_parents() -> None:
    told = subprocess.run([sys.executable, "-c", IN_A_CHILD], check=True, capture_output=True, text=True).stdout.strip()
    drawn = {told[at : at + 24] for at in range(0, len(told), 24)}
    assert len(drawn) == 1 + 2 * AT_A_TIME
