"""What the daemon decides: one pure function of the View to a file."""
