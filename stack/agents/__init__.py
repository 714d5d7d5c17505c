"""Real agent programs, run against a scripted model, in a network that has nothing but loopback."""
