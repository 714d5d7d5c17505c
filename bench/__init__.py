"""What it costs, measured beside what people would use instead: `make bench`. Not part of the installed product."""
