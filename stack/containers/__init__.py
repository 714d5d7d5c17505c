"""compose.yaml run for real, without Docker: podman in place of its engine, images that are made here."""
