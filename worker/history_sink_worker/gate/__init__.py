"""Takes no uploads while the store keeps them out."""
