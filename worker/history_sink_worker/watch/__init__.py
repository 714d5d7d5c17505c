"""What a worker says of itself: numbers, health, and the requests to the store behind each task."""
