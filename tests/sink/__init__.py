"""The sink on a real broker, with a worker that keeps sessions in memory, and with a broker that fails."""
