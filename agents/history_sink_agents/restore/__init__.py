"""Sessions back into the agent that wrote them, so that its own resume finds them."""
