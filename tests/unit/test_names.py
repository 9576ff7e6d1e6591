import pytest

from vipl.errors import UserError
from vipl.names import choose

KNOWN = ("sdoor_open", "sdoor_close", "light_on", "knob1_on")


def test_unknown_name_lists_near_ones():
    with pytest.raises(UserError, match=r"no task 'sdoor_opne': expected sdoor_open"):
        choose("task", ["sdoor_opne"], KNOWN)


def test_nothing_near_lists_all():
    with pytest.raises(UserError, match="expected sdoor_open, sdoor_close, light_on, knob1_on"):
        choose("task", ["xyz"], KNOWN)


def test_names_are_taken_once_and_in_the_users_order():
    assert choose("task", ["light_on", "knob1_on", "light_on"], KNOWN) == ["light_on", "knob1_on"]


def test_none_means_all():
    assert choose("task", None, KNOWN) == list(KNOWN)
