"""Tensors are searched and scored as the arrays that they hold."""

from typing import Any

import numpy as np
import pytest
import torch

from bigearth_xr.retrieval import Index, evaluate, random_floor

VALUES = np.random.default_rng(0).normal(size=(40, 8)).astype(np.float32)
MARKS = np.random.default_rng(1).random((40, 19)) < 0.2


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("gradients", [False, True])
def test_tensors_are_searched_as_what_they_hold(dtype: torch.dtype, gradients: bool) -> None:
    tensor = torch.from_numpy(VALUES).to(dtype).requires_grad_(gradients)
    held = tensor.detach().to(torch.float64).numpy()
    found = Index(tensor[10:]).query(tensor[:10], k=5)
    expected = Index(held[10:]).query(held[:10], k=5)
    np.testing.assert_array_equal(found.positions, expected.positions)
    np.testing.assert_array_equal(found.distances, expected.distances)
    assert tensor.requires_grad is gradients


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int64, torch.float32, torch.bfloat16], ids=str)
def test_tensors_of_labels_are_scored_as_what_they_hold(dtype: torch.dtype) -> None:
    marks: Any = torch.from_numpy(MARKS).to(dtype)
    expected = evaluate(VALUES[:10], MARKS[:10], VALUES[10:], MARKS[10:])
    tensor = torch.from_numpy(VALUES)
    assert evaluate(tensor[:10], marks[:10], tensor[10:], marks[10:]) == expected
    assert evaluate(list(tensor[:10]), list(marks[:10]), tensor[10:], marks[10:]) == expected
    assert random_floor(marks[:10], marks[10:]) == random_floor(MARKS[:10], MARKS[10:])
