"""The registry: members, services and agreements, published as a signed configuration."""
