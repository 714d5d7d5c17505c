"""What every room tells: metrics, request trails, vitals. It asks nobody."""
