import importlib
import pkgutil
import re

import pytest

import coord
from coord.model.regex import Uncompiled, regex

WORD = r"(?P<first>[a-z])[a-z]*"


def test_it_does_what_a_compiled_one_does() -> None:
    late, at_once = regex(WORD, re.IGNORECASE), re.compile(WORD, re.IGNORECASE)
    for text in ("", "One two", "1 Zwei", "ÄB"):
        assert str(late.match(text)) == str(at_once.match(text))
        assert late.findall(text) == at_once.findall(text)
        assert late.sub(r"\g<first>", text) == at_once.sub(r"\g<first>", text)
        assert late.findall(text, 1, 3) == at_once.findall(text, 1, 3)
    assert (late.pattern, late.flags, late.groupindex) == (at_once.pattern, at_once.flags, at_once.groupindex)
    assert regex(rb"\d+", re.MULTILINE).findall(b"1\n22") == [b"1", b"22"]


def test_nothing_is_compiled_before_its_first_use() -> None:
    broken = regex("(")
    assert broken.pattern == "("
    with pytest.raises(re.error):
        broken.match("")


def test_every_expression_of_coord_can_be_compiled() -> None:
    names = [one.name for one in pkgutil.walk_packages(coord.__path__, "coord.") if not one.name.endswith("__main__")]
    found = {
        one for name in names for one in vars(importlib.import_module(name)).values() if isinstance(one, Uncompiled)
    }
    assert len(found) > 50
    for one in found:
        assert isinstance(one.flags, int)
