"""Every rule, in the order a cycle asks them."""

from collections.abc import Callable

from coord.daemon.plan import Action, View
from coord.daemon.rules.deliver import deliver
from coord.daemon.rules.expire import expire
from coord.daemon.rules.follow import follow
from coord.daemon.rules.foresee import foresee
from coord.daemon.rules.keep import keep
from coord.daemon.rules.merge import merge
from coord.daemon.rules.sweep import sweep
from coord.daemon.rules.tidy import tidy
from coord.daemon.rules.wake import wake

Rule = Callable[[View], list[Action]]

RULES: tuple[Rule, ...] = (deliver, expire, merge, follow, foresee, sweep, tidy, keep, wake)
