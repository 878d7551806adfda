"""Waking a session that is idle when mail comes."""
