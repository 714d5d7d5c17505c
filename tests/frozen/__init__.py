"""Messages as clients of released versions left them in the queue."""
