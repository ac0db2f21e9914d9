import threading
import time

import pytest

from jaxharmo.harmonize.stream import overlapped


def run(count, batch=4, **changes):
    log = []

    def double(items):
        log.append(("compute", len(items)))
        return [2 * item for item in items]

    steps = {
        "read": lambda number: log.append(("read", number)) or number,
        "compute": lambda items: (
            log.append(("compute", len(items))) or [2 * item for item in items]
        ),
        "finish": lambda number, item, result: log.append(("finish", number, item, result)),
    }
    overlapped(count, **(steps | changes), batch=batch)
    return log


@pytest.mark.parametrize("count", [0, 1, 4, 11])
def test_every_item_goes_through_once(count):
    log = run(count)
    assert sorted(entry[1:] for entry in log if entry[0] == "finish") == [
        (number, number, 2 * number) for number in range(count)
    ]
    assert sorted(entry[1] for entry in log if entry[0] == "read") == list(range(count))
    assert sum(entry[1] for entry in log if entry[0] == "compute") == count


def test_memory_is_bounded_and_work_overlaps():
    alive, most, overlap, lock = 0, 0, threading.Event(), threading.Lock()

    def read(number):
        nonlocal alive, most
        with lock:
            alive += 1
            most = max(most, alive)
        return number

    def finish(number, item, result):
        nonlocal alive
        overlap.set()
        with lock:
            alive -= 1

    def compute(items):
        # A finish of the batch before may come at any time from here on.
        if items[0] >= 8:
            assert overlap.wait(5)
        return items

    overlapped(40, read, compute, finish, batch=4)
    assert alive == 0
    assert most <= 3 * 4


@pytest.mark.parametrize("part", ["read", "compute", "finish"])
def test_the_first_failure_stops_all(part):
    started = []

    def fail(*args):
        started.append(args)
        time.sleep(0.01)
        raise RuntimeError(part)

    with pytest.raises(RuntimeError, match=part):
        run(1000, **{part: fail})
    assert len(started) < 20
