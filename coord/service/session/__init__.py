"""Sessions of coding assistants: who calls, what one is told at its beginning, and what is kept of it at its end."""
