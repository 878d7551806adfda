"""Let costly modules load at their first use instead of at their import.

`importlib.util.LazyLoader` cannot serve here: until Python 3.12 the import statement itself
reads `__spec__` of what it finds in `sys.modules`, which already loads it.
"""

import importlib
import importlib.util
import sys
import threading
from collections.abc import Iterable
from types import ModuleType

_turn = threading.Lock()


class Deferred(ModuleType):
    """Stands in for a module until one of its attributes is wanted, then becomes it."""

    def __getattr__(self, attribute: str) -> object:
        """Load the module, once, and take over all it holds."""
        name = self.__name__
        with _turn:  # whoever takes it out a second time takes out the module, and that is loaded twice
            if sys.modules.get(name) is self:
                del sys.modules[name]
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
