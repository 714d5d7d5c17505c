"""What an operator would ask about a deployment, asked of broker, store and clocks."""
