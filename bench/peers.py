"""What the gateways are compared with: two nginx, one behind the other, passing gRPC through without signing a thing."""

from __future__ import annotations

import shutil
from pathlib import Path

from bench.tls import Identity

_CONF = """daemon off;
master_process off;
worker_processes 1;
pid {directory}/pid;
error_log {directory}/error.log warn;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  client_max_body_size 64m;
  client_body_buffer_size 1m;
  grpc_buffer_size 128k;
  keepalive_requests 100000000;
  http2_max_concurrent_streams 1000;
  client_body_temp_path {directory}/t1; proxy_temp_path {directory}/t2; fastcgi_temp_path {directory}/t3;
  uwsgi_temp_path {directory}/t4; scgi_temp_path {directory}/t5;
  upstream next {{ server 127.0.0.1:{upstream}; keepalive 512; keepalive_requests 100000000; keepalive_time 24h; }}
  server {{
    listen 127.0.0.1:{port} ssl http2;
    ssl_protocols TLSv1.3;
    ssl_certificate {certificate};
    ssl_certificate_key {key};
    ssl_client_certificate {ca};
    ssl_verify_client on;
    location / {{
      grpc_pass grpcs://next;
      grpc_ssl_protocols TLSv1.3;
      grpc_ssl_certificate {certificate};
      grpc_ssl_certificate_key {key};
      grpc_ssl_trusted_certificate {ca};
      grpc_ssl_verify on;
      grpc_ssl_name localhost;
      grpc_ssl_session_reuse on;
      grpc_read_timeout 60s;
    }}
  }}
}}
"""


def find_nginx() -> str | None:
    """Where Debian's nginx is, if it is installed (``make setup-system``)."""
    return shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")


def nginx_command(nginx: str, directory: Path, port: int, upstream: int, identity: Identity) -> list[str]:
    """The command of one nginx that takes mTLS on ``port`` and passes calls on over mTLS to ``upstream``."""
    directory = directory.absolute()
    directory.mkdir(parents=True, exist_ok=True)
    configuration = directory / "nginx.conf"
    configuration.write_text(
        _CONF.format(
            directory=directory,
            port=port,
            upstream=upstream,
            certificate=identity.certificate.absolute(),
            key=identity.key.absolute(),
            ca=identity.ca.absolute(),
        )
    )
    return [nginx, "-c", str(configuration), "-p", str(directory)]
