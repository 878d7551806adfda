"""The coding assistants that coord has words for, by the names that its commands take."""

from typing import Literal

Client = Literal["claude", "codex", "gemini"]
