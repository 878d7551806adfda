"""What a person may ask an assistant for by name: to hand its work over, and to review another's."""

from collections.abc import Mapping

from coord.model.errors import NotFound, Usage
from coord.model.untrusted import clean_line
from coord.model.values import frozen

_HAND_OVER = """\
Hand your work over to {to}:
1. save_checkpoint with what is done, half done and learnt, and the next steps in order.
2. Commit what is worth keeping on your branch; say in the checkpoint what is not committed.
3. lock_list with yourself as holder, and release_file_lock for each lease that {to} will need.
4. send_message to {to} with ack `required`: what the task is, where it stands, the checkpoint's id, the branch,
   and the one thing to do first.
5. Wait for the acknowledgement with mail_wait before you change any of it again.
"""
_REVIEW = """\
Review {what}:
1. merge_show (or merge_list) for what is asked to be merged; read the diff against its target, not the summary alone.
2. history and log for decisions and messages that it rests on; decision_list for what was ruled before.
3. Look for what is wrong, missing or untested; try what you doubt. Change nothing on the branch yourself.
4. mail_reply or send_message to its author: what must change and why, each with file and line, what may wait,
   and whether it may land as it is.
"""


@frozen
class Prompt:
    """One prompt: its text, and what stands in it; an argument without a default must be given."""

    name: str
    title: str
    about: str
    text: str
    arguments: Mapping[str, str]
    defaults: Mapping[str, str]


ALL = {
    one.name: one
    for one in (
        Prompt(
            "hand_over",
            "Hand work over",
            "Hand your work over to another agent, with a checkpoint and without leases left behind.",
            _HAND_OVER,
            {"to": "the agent who carries on"},
            {},
        ),
        Prompt(
            "review",
            "Review a merge request",
            "Review what another agent wants to be merged, and tell its author.",
            _REVIEW,
            {"what": "a merge request's id or a branch; default: the next one that waits"},
            {"what": "the merge request that waits first"},
        ),
    )
}


def filled(name: str, given: Mapping[str, str]) -> str:
    """Return the text of a prompt with its arguments in it, each on one line.

    Raises:
        NotFound: there is no such prompt.
        Usage: an argument is missing or unknown.
    """
    if name not in ALL:
        raise NotFound(f"there is no prompt {name!r}", hint=f"known: {', '.join(ALL)}")
    prompt = ALL[name]
    if unknown := set(given) - set(prompt.arguments):
        raise Usage(f"{name} takes no {', '.join(sorted(unknown))}", hint=f"it takes {', '.join(prompt.arguments)}")
    values = {**prompt.defaults, **{name: clean_line(text, 200) for name, text in given.items() if text.strip()}}
    for argument, about in prompt.arguments.items():
        if argument not in values:
            raise Usage(f"{argument} is missing", hint=f"{argument}: {about}")
    return prompt.text.format(**values)
