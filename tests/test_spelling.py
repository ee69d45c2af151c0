"""A misspelt name finds its nearest, whatever its case."""

from bigearth_xr.spelling import did_you_mean


def test_the_nearest_name_is_offered_in_its_own_spelling() -> None:
    assert did_you_mean("TRIAN", ["Train", "test"]) == "; did you mean 'Train'?"


def test_nothing_is_offered_where_nothing_is_near() -> None:
    assert did_you_mean("moon", ["train", "test"]) == ""
