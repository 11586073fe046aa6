"""What tests share: databases of their own, processes that always end, ports, waiting for a condition."""
