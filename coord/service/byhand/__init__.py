"""What hands write into the folders, or change there: found, taken in, and told as events."""
