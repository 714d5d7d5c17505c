"""What each part may do at Redis and at the store, and no more: written out for an operator to apply."""
