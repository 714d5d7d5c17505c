"""What agents have on this machine: how far it is archived, and what of it may go."""
