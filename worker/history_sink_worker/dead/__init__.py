"""What can never succeed, kept whole."""
