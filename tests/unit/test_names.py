import pytest

from vipl.errors import UserError
from vipl.names import choose, is_plain, plain

KNOWN = ("sdoor_open", "sdoor_close", "light_on", "knob1_on")


def test_unknown_name_lists_near_ones():
    with pytest.raises(UserError, match=r"no task 'sdoor_opne': expected sdoor_open"):
        choose("task", ["sdoor_opne"], KNOWN)


def test_nothing_near_lists_all():
    with pytest.raises(UserError, match="expected sdoor_open, sdoor_close, light_on, knob1_on"):
        choose("task", ["xyz"], KNOWN)


def test_many_names_are_not_all_listed():
    with pytest.raises(UserError, match=r"expected 100, .*, 119 and 80 others$"):
        choose("clip", ["xyz"], map(str, range(100, 200)))


def test_there_may_be_none():
    with pytest.raises(UserError, match=r"no task 'xyz': there are none$"):
        choose("task", ["xyz"], ())


def test_names_are_taken_once_and_in_the_users_order():
    assert choose("task", ["light_on", "knob1_on", "light_on"], KNOWN) == ["light_on", "knob1_on"]


def test_none_means_all():
    assert choose("task", None, KNOWN) == list(KNOWN)


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", "a\\b", "/a", "../a", " a", "a\nb", "a\x1b[31m", ".a", "a" * 300]
)
def test_names_of_folders_are_plain(name):
    assert not is_plain(name)
    assert is_plain(plain(name))


def test_plain_names_stay():
    for name in ("vip-1", "timm:vit_small.augreg", "größe 2"):
        assert is_plain(name)
    assert plain("timm:vit_small.augreg") == "timm:vit_small.augreg"
