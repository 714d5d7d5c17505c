"""Messages from Redis, none lost."""
