"""Session stores for agents' SDKs, each on a sink: the SDK writes into the archive, and reads back from it."""
