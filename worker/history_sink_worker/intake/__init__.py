"""What a message becomes, what is refused, and what may be seen of it."""
