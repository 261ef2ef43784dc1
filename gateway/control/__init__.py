"""The control process of a gateway: configuration, supervision, index, admin API, pages."""
