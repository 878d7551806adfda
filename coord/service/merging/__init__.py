"""The merge queue: batches stacked in memory, tested together, landed by compare-and-swap."""
