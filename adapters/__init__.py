"""What a ministry implements: plain gRPC services behind its own gateway, and the sandbox's seeds."""
