"""BLAS keeps one thread while small networks are proved, and has its threads back afterwards."""

from __future__ import annotations

from threadpoolctl import threadpool_info

from jensen.blas import LARGEST, few_threads


def blas_threads() -> list[int]:
    return [
        library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"
    ]


def test_small_networks_take_one_thread_and_give_the_others_back():
    before = blas_threads()
    with few_threads(10):
        assert set(blas_threads()) <= {1}
    assert blas_threads() == before


def test_the_limit_lasts_until_the_last_has_left():
    before = blas_threads()
    first, second = few_threads(10), few_threads(20)
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert set(blas_threads()) <= {1}
    second.__exit__(None, None, None)
    assert blas_threads() == before


def test_large_networks_keep_all_threads():
    before = blas_threads()
    with few_threads(LARGEST + 1):
        assert blas_threads() == before
