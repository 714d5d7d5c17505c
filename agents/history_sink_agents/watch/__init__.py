"""`history-sink watch`: follows agents' session files as they grow, and archives them."""
