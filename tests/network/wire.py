"""A cable between two network interfaces that can be slow, lossy and cut: what Linux's netem does, where the kernel has none.

Usage: wire.py NAME NAME. Commands on standard input, one per line: `delay MS`, `jitter MS`, `loss FRACTION`, `cut`, `mend`.
"""

import heapq
import random
import select
import socket
import sys
import time

SOL_PACKET, PACKET_VNET_HDR, ETH_P_ALL = 263, 15, 3
LONGEST = 1 << 17
# Bytes that may be on their way at a time: what does not fit is lost, as in a switch's queue.
ROOM = 4 << 20


def port(name: str) -> socket.socket:
    """Sees every frame of an interface, with its offloads' header, and can send such frames."""
    raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    raw.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
    raw.bind((name, ETH_P_ALL))
    return raw


def main() -> None:
    ends = [port(name) for name in sys.argv[1:3]]
    others = {ends[0]: ends[1], ends[1]: ends[0]}
    rng = random.Random(1)
    delay, jitter, loss, whole = 0.0, 0.0, 0.0, True
    on_the_way, count, underway = [], 0, 0
    print("ready", flush=True)
    while True:
        wait = max(0.0, on_the_way[0][0] - time.monotonic()) if on_the_way else None
        readable, _, _ = select.select([*ends, sys.stdin], [], [], wait)
        for source in readable:
            if source is sys.stdin:
                words = sys.stdin.readline().split()
                if not words:
                    return
                if words[0] == "delay":
                    delay = float(words[1]) / 1e3
                elif words[0] == "jitter":
                    jitter = float(words[1]) / 1e3
                elif words[0] == "loss":
                    loss = float(words[1])
                else:
                    whole = words[0] == "mend"
                print(*words, time.time_ns(), flush=True)
                continue
            frame, address = source.recvfrom(LONGEST)
            # Frames that we sent ourselves are seen too.
            if address[2] == socket.PACKET_OUTGOING or not whole or rng.random() < loss or underway > ROOM:
                continue
            count, underway = count + 1, underway + len(frame)
            due = time.monotonic() + delay + jitter * rng.random()
            heapq.heappush(on_the_way, (due, count, others[source], frame))
        while on_the_way and on_the_way[0][0] <= time.monotonic():
            _, _, end, frame = heapq.heappop(on_the_way)
            underway -= len(frame)
            if whole:
                try:
                    end.send(frame)
                except OSError:
                    pass


main()
