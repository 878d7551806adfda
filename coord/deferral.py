"""Let costly modules load at their first use instead of at their import.

`importlib.util.LazyLoader` cannot serve here: until Python 3.12 the import statement itself
reads `__spec__` of what it finds in `sys.modules`, which already loads it.
"""

import importlib
import importlib.util
import sys
from collections.abc import Iterable
from types import ModuleType


class Deferred(ModuleType):
    """Stands in for a module until one of its attributes is wanted, then becomes it."""

    def __getattr__(self, attribute: str) -> object:
        """Load the module, once, and take over all it holds."""
        name = self.__name__
        if sys.modules.get(name) is self:
            sys.modules.pop(name, None)  # another thread may have been first
        real = importlib.import_module(name)
        self.__dict__.update(real.__dict__)
        return getattr(real, attribute)


def defer(names: Iterable[str]) -> None:
    """Defer the modules NAMES, parents before their children; those loaded already stay."""
    for name in names:
        if name in sys.modules:
            continue
        stand_in = Deferred(name)
        # The import statement looks here to see whether another thread is still importing it.
        stand_in.__spec__ = importlib.util.spec_from_loader(name, None)
        sys.modules[name] = stand_in
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(importlib.import_module(parent), child, stand_in)


def load() -> None:
    """Load all that was deferred: two threads that come to one of them at once would load it twice."""
    for stand_in in [module for module in sys.modules.values() if type(module) is Deferred]:
        _ = stand_in.__file__
