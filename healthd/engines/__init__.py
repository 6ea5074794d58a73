"""A node becomes a client: engine configurations, engine processes, shared tunnels."""
