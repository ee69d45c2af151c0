"""Of a sampled test some combinations run, and every value of every parameter."""

from itertools import product

from conftest import sample
from hypothesis import given
from hypothesis import strategies as st


@given(sizes=st.lists(st.integers(1, 6), min_size=1, max_size=3), n=st.integers(2, 9))
def test_every_value_of_every_parameter_is_kept(sizes: list[int], n: int) -> None:
    combinations = [dict(zip("abc", places, strict=False)) for places in product(*map(range, sizes))]
    kept = sample(combinations, len(combinations) // n)
    assert len(kept) >= len(combinations) // n
    for place, size in enumerate(sizes):
        assert {combinations[one]["abc"[place]] for one in kept} == set(range(size))


def test_no_more_is_kept_than_that_takes() -> None:
    combinations = [{"release": one, "profile": other} for one in range(2) for other in range(3)]
    assert len(sample(combinations, 1)) == 3
