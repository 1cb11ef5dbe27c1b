"""What some work on a file costs in a process of its own, and one line that sets two such costs beside each other."""

import json
import multiprocessing
import resource
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median

Work = Callable[[Path, int], None]


def cost_of(work: Work, path: Path, times: int, warm_up: Path) -> tuple[float, float]:
    """CPU seconds for each time and peak megabytes of a fresh process that did it, after it was done once with `warm_up`."""
    context = multiprocessing.get_context("spawn")
    receiving, sending = context.Pipe(duplex=False)
    child = context.Process(target=_measure, args=(work, path, times, warm_up, sending))
    child.start()
    sending.close()
    cost: tuple[float, float] = receiving.recv()
    child.join()
    return cost


def print_costs(benchmark: str, case: str, peer: str, ours: list[tuple[float, float]], peers: list[tuple[float, float]]) -> None:
    """One JSON line: the median of the CPU seconds, the highest of the peaks."""
    our_cpu_s, peer_cpu_s = (median(cpu for cpu, _ in costs) for costs in (ours, peers))
    figure = {
        "benchmark": benchmark,
        "case": case,
        "peer": peer,
        "unit": "cpu_s",
        "ours": round(our_cpu_s, 4),
        "peers": round(peer_cpu_s, 4),
        "ratio": round(our_cpu_s / peer_cpu_s, 2),
        "ours_peak_mb": round(max(peak for _, peak in ours)),
        "peers_peak_mb": round(max(peak for _, peak in peers)),
    }
    sys.stdout.write(json.dumps(figure) + "\n")
    sys.stdout.flush()


def _measure(work: Work, path: Path, times: int, warm_up: Path, sending: Connection) -> None:
    work(warm_up, 1)  # imports, and what libraries set up on first use
    start = time.process_time()
    work(path, times)
    cpu_s = (time.process_time() - start) / times
    sending.send((cpu_s, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))
