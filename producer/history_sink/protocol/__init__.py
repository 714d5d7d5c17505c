"""What two programs share: wire shapes, names and checks. Pure."""
