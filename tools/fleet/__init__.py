"""A fleet of machines that renew their certificates: the model behind ``tools/simulate_fleet``."""
