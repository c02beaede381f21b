"""What a provider tells over HTTP: whether it lives, whether it is ready and why not, and figures for Prometheus."""
