"""The order of an epoch: every patch, once, in an order that depends on seed and epoch and on nothing else."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from bigearth_xr.errors import LoaderError
from bigearth_xr.sampling import Epoch, Sampling, even_weights, plan_epoch

Patches = tuple[NDArray[np.int64], NDArray[np.int64]]


@st.composite
def patches(draw: st.DrawFn) -> Patches:
    """Numbers of stores, and rows, each pair once, in any order."""
    pairs = draw(st.sets(st.tuples(st.integers(0, 2), st.integers(0, 5_000)), min_size=1, max_size=120))
    shuffled = np.array(draw(st.permutations(sorted(pairs))), np.int64)
    return shuffled[:, 0], shuffled[:, 1]


rules = st.builds(
    Sampling,
    batch_size=st.integers(1, 40),
    shuffle=st.booleans(),
    window=st.none() | st.integers(1, 100),
    block=st.sampled_from([1, 2, 16, 1024]),
    seed=st.integers(0, 2**64 - 1),
    pad=st.none() | st.booleans(),
)


def ranks(found: Patches, sampling: Sampling, world: int, **how: object) -> list[Epoch]:
    alone = [replace(sampling, rank=rank, world_size=world) for rank in range(world)]
    return [plan_epoch(*found, each, **how) for each in alone]  # type: ignore[arg-type]


@given(patches(), rules, st.integers(0, 9))
def test_each_patch_comes_once(found: Patches, sampling: Sampling, epoch: int) -> None:
    plan = plan_epoch(*found, sampling, epoch=epoch)
    assert sorted(plan.places) == list(range(found[0].size))
    assert plan.padding == 0
    batches = [plan.places[plan.batch(step)] for step in range(len(plan))]
    assert np.concatenate(batches).tolist() == plan.places.tolist()
    assert {batch.size for batch in batches[:-1]} <= {sampling.batch_size}
    assert batches[-1].size > 0


@given(patches(), rules, st.integers(1, 5), st.integers(0, 9))
def test_ranks_share_the_patches(found: Patches, sampling: Sampling, world: int, epoch: int) -> None:
    world = min(world, found[0].size)
    plans = ranks(found, sampling, world, epoch=epoch)
    for rank, plan in enumerate(plans):
        assert len(plan) == replace(sampling, rank=rank, world_size=world).batches(found[0].size)
    places = np.concatenate([plan.places for plan in plans])
    assert set(places) == set(range(found[0].size))
    if sampling.pads:
        assert len({plan.places.size for plan in plans}) == 1
        assert {plan.padding for plan in plans} == {places.size - found[0].size}
        assert plans[0].padding < world
    else:
        assert places.size == found[0].size
        assert max(plan.places.size for plan in plans) - min(plan.places.size for plan in plans) <= 1


@given(patches(), rules, st.integers(1, 5))
def test_full_batches_alone_on_request(found: Patches, sampling: Sampling, world: int) -> None:
    world = min(world, found[0].size)
    plans = ranks(found, replace(sampling, drop_last=True), world)
    places = np.concatenate([plan.places for plan in plans])
    assert len(set(places)) == places.size
    full = found[0].size // world // sampling.batch_size
    assert {len(plan) for plan in plans} == {full}
    assert replace(sampling, drop_last=True, world_size=world).batches(found[0].size) == full
    assert places.size == full * sampling.batch_size * world


@given(patches(), rules.filter(lambda sampling: sampling.shuffle))
def test_the_order_is_that_of_rows_and_not_of_places(found: Patches, sampling: Sampling) -> None:
    stores, rows = found
    again = np.random.default_rng(sampling.seed % 99).permutation(rows.size)
    first = plan_epoch(stores, rows, sampling).places
    second = again[plan_epoch(stores[again], rows[again], sampling).places]
    assert first.tolist() == second.tolist()


@given(patches(), rules)
def test_order_is_kept_unless_shuffled(found: Patches, sampling: Sampling) -> None:
    plan = plan_epoch(*found, replace(sampling, shuffle=False))
    assert plan.places.tolist() == list(range(found[0].size))


@given(patches(), rules.filter(lambda sampling: sampling.shuffle and sampling.window is not None))
def test_a_window_holds_few_blocks(found: Patches, sampling: Sampling) -> None:
    stores, rows = found
    plan = plan_epoch(stores, rows, sampling)
    blocks = list(zip(stores.tolist(), (rows // sampling.block).tolist(), strict=True))
    windows = np.split(plan.places, plan.windows[:-1])
    homes = [{blocks[place] for place in window} for window in windows]
    # A block is in one window, or where it is cut in those that follow each other.
    for at, home in enumerate(homes):
        for later in homes[at + 2 :]:
            assert all(sum(block in other for other in homes) > 2 for block in home & later)
        assert len(home & set().union(*homes[:at])) <= 1


def test_another_epoch_or_seed_is_another_order() -> None:
    rows = np.arange(500)
    stores = np.zeros_like(rows)
    sampling = Sampling(batch_size=10)
    plans = [
        plan_epoch(stores, rows, sampling),
        plan_epoch(stores, rows, sampling, epoch=1),
        plan_epoch(stores, rows, replace(sampling, seed=1)),
        plan_epoch(stores + 1, rows, sampling),
        plan_epoch(stores, rows, replace(sampling, window=50)),
    ]
    assert len({tuple(plan.places) for plan in plans}) == len(plans)


def test_a_window_of_all_patches_is_a_true_shuffle() -> None:
    rows = np.arange(500)
    whole, true = (plan_epoch(0 * rows, rows, Sampling(batch_size=10, window=window)) for window in (500, None))
    assert whole.places.tolist() == true.places.tolist()


def test_the_first_windows_are_smaller() -> None:
    # Nothing can be drawn from one before all of it was read.
    rows = np.arange(20_000)
    for window, ends in ((1024, [1024, 2048]), (3000, [1024, 3072, 6072]), (8192, [1024, 3072, 7168, 15_360, 20_000])):
        plan = plan_epoch(0 * rows, rows, Sampling(batch_size=10, window=window))
        assert plan.windows[: len(ends)].tolist() == ends
        assert plan.windows[-1] == rows.size


def test_an_order_stays_what_it_is() -> None:
    # State that was saved with one version has to be resumed by the next.
    rows = np.arange(0, 40, 3)
    plan = plan_epoch(np.zeros_like(rows), rows, Sampling(batch_size=4, window=8, block=4, seed=7), epoch=2)
    assert rows[plan.places].tolist() == FROZEN


FROZEN = [21, 18, 3, 24, 9, 30, 0, 27, 39, 36, 33, 12, 6, 15]


def test_every_place_of_a_true_shuffle_is_as_likely() -> None:
    rows = np.arange(6)
    sampling = Sampling(batch_size=6, window=None)
    drawn = np.array([plan_epoch(0 * rows, rows, sampling, epoch=epoch).places for epoch in range(3_000)])
    counts = np.array([np.bincount(drawn[:, at], minlength=6) for at in range(6)])
    assert np.abs(counts - 500).max() < 5 * np.sqrt(500)


def test_shares_are_fixed_on_request() -> None:
    rows = np.arange(5_000)
    found = 0 * rows, rows
    sampling = Sampling(batch_size=10, fixed_shares=True)
    for first, second in zip(ranks(found, sampling, 3), ranks(found, sampling, 3, epoch=1), strict=True):
        assert set(first.places) == set(second.places)
        assert first.places.tolist() != second.places.tolist()
    loose = replace(sampling, fixed_shares=False)
    assert set(ranks(found, loose, 3)[0].places) != set(ranks(found, loose, 3, epoch=1)[0].places)


# Balance.


def test_groups_are_drawn_as_often() -> None:
    groups = np.zeros((2_000, 3), bool)
    groups[:1_900, 0] = groups[1_900:1_990, 1] = groups[1_990:1_999, 2] = True
    weights = even_weights(groups)
    rows = np.arange(2_000)
    for world in (1, 2):
        plans = ranks((0 * rows, rows), Sampling(batch_size=64), world, weights=weights)
        drawn = np.concatenate([plan.places for plan in plans])
        assert drawn.size == 2_000
        assert all(plan.padding == 0 for plan in plans)
        assert groups[drawn].any(axis=1).all()
        # Strata: a rank draws as often as expected, but for one or two.
        if world == 1:
            np.testing.assert_allclose(groups[drawn].sum(axis=0), 2_000 / 3, atol=3)


@given(st.integers(0, 50), st.integers(0, 2**32))
def test_repeats_are_numbered(epoch: int, seed: int) -> None:
    rows = np.arange(30)
    weights = np.linspace(0, 1, 30) ** 4
    plan = plan_epoch(0 * rows, rows, Sampling(batch_size=8, seed=seed), epoch=epoch, weights=weights)
    assert len({*zip(plan.places.tolist(), plan.repeats.tolist(), strict=True)}) == 30
    for place in set(plan.places):
        assert sorted(plan.repeats[plan.places == place]) == list(range(np.count_nonzero(plan.places == place)))


def test_weights_are_those_of_a_group_first_and_a_patch_then() -> None:
    generator = np.random.default_rng(0)
    groups = generator.random((50, 5)) < 0.3
    by_hand = np.zeros(50)
    for group in groups.T:
        by_hand[group] += 1 / 5 / group.sum()
    np.testing.assert_allclose(even_weights(groups), by_hand)


# What is refused.


@pytest.mark.parametrize(
    ("numbers", "problem"),
    [
        ({"batch_size": 0}, "batch_size is 0, expected an integer of at least 1"),
        ({"batch_size": 2.5}, "batch_size is 2.5"),
        ({"window": 0}, "window is 0"),
        ({"block": 48}, "block is 48, expected a power of two"),
        ({"seed": -1}, "seed is -1"),
        ({"seed": 2**64}, "expected less than 2⁶⁴"),
        ({"rank": 2, "world_size": 2}, "rank is 2 of 2, expected 0 to 1"),
    ],
)
def test_numbers_out_of_range_are_refused(numbers: dict[str, int], problem: str) -> None:
    with pytest.raises(LoaderError, match=problem):
        Sampling(**({"batch_size": 1} | numbers))  # type: ignore[arg-type]


def test_what_gives_no_epoch_is_refused() -> None:
    rows = np.arange(3)
    with pytest.raises(LoaderError, match="3 patches for 4 ranks"):
        plan_epoch(0 * rows, rows, Sampling(batch_size=1, world_size=4))
    with pytest.raises(LoaderError, match="epoch is -1"):
        plan_epoch(0 * rows, rows, Sampling(batch_size=1), epoch=-1)
    with pytest.raises(LoaderError, match="shuffle=False keeps their order"):
        plan_epoch(0 * rows, rows, Sampling(batch_size=1, shuffle=False), weights=np.ones(3))
    with pytest.raises(LoaderError, match="no patch is of any group"):
        even_weights(np.zeros((3, 2), bool))
    plans = ranks((0 * rows, rows), Sampling(batch_size=1), 3)
    without = next(rank for rank, plan in enumerate(plans) if plan.places != [2])
    with pytest.raises(LoaderError, match=f"none of the 1 patches of rank {without} can be drawn"):
        plan_epoch(0 * rows, rows, Sampling(batch_size=1, rank=without, world_size=3), weights=np.array([0.0, 0, 1]))
