import os

import pytest

from sleeplib import parallel
from sleeplib.errors import SleeplibError


def who(i):
    return i, os.getpid()


@pytest.mark.parametrize("jobs", [1, 2])
def test_results_come_in_order_from_no_more_processes_than_cores(jobs, monkeypatch):
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")
    assert list(parallel.work(who, [(i,) for i in range(4)], jobs, progress=False)) == [
        (i, os.getpid()) for i in range(4)
    ]


def test_threads_wait_so_there_may_be_more_of_them_than_cores(monkeypatch):
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")
    import threading

    both = threading.Barrier(2, timeout=10)
    assert len(list(parallel.work(both.wait, [(), ()], 2, "threading", progress=False))) == 2


def test_a_bar_is_shown_where_somebody_can_see_it(capsys, monkeypatch):
    assert list(parallel.work(who, [(1,)], desc="counting")) == [(1, os.getpid())]
    assert capsys.readouterr().err == "", "not in a log"
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    list(parallel.work(who, [(1,)], desc="counting"))
    assert "counting" in capsys.readouterr().err
    list(parallel.work(who, [(1,)], desc="counting", progress=False))
    assert capsys.readouterr().err == ""


def test_no_items_and_unknown_backend():
    assert list(parallel.work(who, [], 2, progress=False)) == []
    with pytest.raises(SleeplibError, match="'fork' is not known"):
        list(parallel.work(who, [(1,)], backend="fork"))


def test_how_many_are_under_way_at_once(monkeypatch):
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "2")
    assert [parallel.side_by_side(jobs, [0] * n) for jobs, n in ((1, 9), (4, 9), (4, 1), (2, 0))] == [
        1,
        2,
        1,
        1,
    ]
    assert parallel.side_by_side(4, [0] * 9, "threading") == 4
