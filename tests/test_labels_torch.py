"""Marks may be tensors."""

import numpy as np
import torch

from bigearth_xr.labels import group_multi_hot, reorder_labels


def test_tensors_are_grouped_and_reordered_like_arrays() -> None:
    marks = np.random.default_rng(0).random((5, 43)) < 0.1
    grouped = group_multi_hot(torch.from_numpy(marks))
    np.testing.assert_array_equal(grouped.numpy(), group_multi_hot(marks))
    moved = reorder_labels(grouped, from_order="paper", to_order="lexicographic")
    expected = reorder_labels(grouped.numpy(), from_order="paper", to_order="lexicographic")
    np.testing.assert_array_equal(moved.numpy(), expected)
