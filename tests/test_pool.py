"""One bad item costs one item, whatever it does to its process."""

from __future__ import annotations

import os
import signal
import time

import pytest

from pipeline import pool


def square(number: int) -> int:
    return number * number


def fragile(number: int) -> int:
    if number == 5:
        os.kill(os.getpid(), signal.SIGSEGV)
    if number == 11:
        os._exit(3)
    return number * number


def slow(number: int) -> int:
    if number == 3:
        time.sleep(60)
    return number * number


def failing(number: int) -> int:
    raise RuntimeError(f"item {number} is a mistake of ours")


def run(function, count, **options):
    settings = {"workers": 2, "what": "test", "unit": "items", "chunk": 4} | options
    return dict(pool.each(function, list(range(count)), **settings))


def test_every_item_comes_back_once():
    assert run(square, 41) == {k: k * k for k in range(41)}
    assert run(square, 0) == {}


def test_a_crash_costs_the_item_that_crashed():
    assert run(fragile, 24) == {k: None if k in (5, 11) else k * k for k in range(24)}


def greedy(number: int) -> str:
    try:
        return f"{len(bytearray(number << 30)) >> 30} GiB"  # counted, though never touched
    except MemoryError:
        return "refused"


def test_no_item_fills_the_memory_of_the_machine():
    assert run(greedy, 8, chunk=8) == {
        number: "refused" if number << 30 >= pool.MOST_MEMORY else f"{number} GiB"
        for number in range(8)
    }


def test_an_item_that_does_not_end_is_given_up():
    assert run(slow, 8, seconds=1.0) == {k: None if k == 3 else k * k for k in range(8)}


def test_a_mistake_of_ours_is_not_hidden():
    with pytest.raises(RuntimeError, match="a mistake of ours"):
        run(failing, 4)


def test_stopping_early_leaves_no_process(monkeypatch):
    results = pool.each(square, list(range(400)), workers=2, what="test", unit="items", chunk=1)
    next(results)
    results.close()
    time.sleep(0.2)
    import multiprocessing

    assert not [child for child in multiprocessing.active_children() if child.is_alive()]
