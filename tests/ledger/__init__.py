"""What a producer knows of one session, against a plain model of a store and with random agents."""
