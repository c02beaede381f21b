"""What touches the chain: endpoints, contracts, the listener, the outbox, and the database that remembers them."""
