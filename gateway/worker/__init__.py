"""The data plane of a gateway: both listeners, the exchange pipeline, one log."""
