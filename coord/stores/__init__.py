"""Where records live: files, and what makes them safe to share."""
