"""What runs MetricFoundry on servers: their configuration, and ways to have them."""
