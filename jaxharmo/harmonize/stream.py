"""Reading, computing and writing at the same time, in order and with bounded memory."""

import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from jaxharmo.data.prepare.headers import quiet

Item = TypeVar("Item")
Result = TypeVar("Result")


def overlapped(
    count: int,
    read: Callable[[int], Item],
    compute: Callable[[list[Item]], list[Result]],
    finish: Callable[[int, Item, Result], object],
    *,
    batch: int,
    advance: Callable[[int], object] = lambda count: None,
) -> None:
    """``finish(i, item, result)`` for every i below ``count``, in threads, as ``read(i)`` is.

    ``compute`` runs here, on batches; meanwhile the next batch is read and the one before
    finished, so at most three are in memory. ``advance`` counts the finished items. The first
    exception stops all and is raised.
    """
    reading: deque[Future] = deque()
    finishing: deque[Future] = deque()
    # Silent here, as threads that each silence warnings would undo it for one another.
    with quiet(), ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        try:
            reading.extend(pool.submit(read, number) for number in range(min(batch, count)))
            for start in range(0, count, batch):
                numbers = range(start, min(start + batch, count))
                following = range(numbers.stop, min(numbers.stop + batch, count))
                items = [reading.popleft().result() for _ in numbers]
                reading.extend(pool.submit(read, number) for number in following)
                results = compute(items)
                while finishing:
                    finishing.popleft().result()
                    advance(1)
                finishing.extend(
                    pool.submit(finish, number, item, result)
                    for number, item, result in zip(numbers, items, results, strict=True)
                )
            while finishing:
                finishing.popleft().result()
                advance(1)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
