"""What asks every room: the watcher, the probes' endpoint, the scrape."""
