"""A misspelt name finds its nearest, whatever its case, and a wrong choice is answered with those that there are."""

from typing import Any

import numpy as np
import pytest

from bigearth_xr.spelling import check_choice, did_you_mean


def test_the_nearest_name_is_offered_in_its_own_spelling() -> None:
    assert did_you_mean("TRIAN", ["Train", "test"]) == "; did you mean 'Train'?"


def test_nothing_is_offered_where_nothing_is_near() -> None:
    assert did_you_mean("moon", ["train", "test"]) == ""


@pytest.mark.parametrize("given", ["cubic", None, 3, ["nearest"], np.arange(2), {}])
def test_whatever_is_no_choice_is_answered_with_the_choices(given: Any) -> None:
    with pytest.raises(KeyError, match=r"unknown resampling .*; expected one of nearest, bicubic"):
        check_choice("resampling", given, ("nearest", "bicubic"), KeyError)


def test_choices_pass() -> None:
    check_choice("nomenclature", np.int64(19), (19, 43, None), KeyError)
    check_choice("nomenclature", None, (19, 43, None), KeyError)
