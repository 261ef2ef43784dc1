"""What every grpcio server and client here shares. This package imports nothing by itself."""
