"""The loop that makes things happen by themselves: observe, decide, perform."""
