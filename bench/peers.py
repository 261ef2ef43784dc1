"""What the gateways are compared with: two proxies, one behind the other, passing gRPC through without signing a thing.

nginx (Debian's package), Envoy (the wheel of ``requirements/bench.txt``) and a plain one on ``grpc.aio``; one worker
each, mutual TLS 1.3 on all three legs, HTTP/2 on all three, no retries, no time-outs that a run could meet.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from bench.measure import Variant
from bench.processes import Processes, free_port, wait_for_port
from bench.tls import Identity, make_identity

_NGINX: Final = """daemon off;
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
      grpc_read_timeout 600s;
      grpc_send_timeout 600s;
    }}
  }}
}}
"""

# Command of one proxy: takes calls on a port, passes them on to another; its files lie in a directory of its own.
Command = Callable[[Path, int, int, Identity], list[str]]


def find_nginx() -> str | None:
    """Where Debian's nginx is, if it is installed (``make setup-system``)."""
    return shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")


def find_envoy() -> str | None:
    """The program inside the wheel, not its launcher, which would stand between us and its CPU clock."""
    try:
        import envoy
    except ImportError:
        return None
    found = Path(envoy.__file__).parent / "_bin/envoy"
    return str(found) if found.exists() else None


def nginx_command(nginx: str, directory: Path, port: int, upstream: int, identity: Identity) -> list[str]:
    """The command of one nginx that takes mTLS on ``port`` and passes calls on over mTLS to ``upstream``."""
    directory = directory.absolute()
    directory.mkdir(parents=True, exist_ok=True)
    configuration = directory / "nginx.conf"
    configuration.write_text(
        _NGINX.format(
            directory=directory,
            port=port,
            upstream=upstream,
            certificate=identity.certificate.absolute(),
            key=identity.key.absolute(),
            ca=identity.ca.absolute(),
        )
    )
    return [nginx, "-c", str(configuration), "-p", str(directory)]


def envoy_command(envoy: str, directory: Path, port: int, upstream: int, identity: Identity) -> list[str]:
    """The command of one Envoy, as ``nginx_command``."""
    directory = directory.absolute()
    directory.mkdir(parents=True, exist_ok=True)
    configuration = directory / "envoy.json"
    configuration.write_text(json.dumps(_envoy_configuration(port, upstream, identity), indent=1))
    options = ["--concurrency", "1", "--disable-hot-restart", "--log-level", "error"]
    return [envoy, "-c", str(configuration), *options]


def _typed(name: str, type_name: str, **fields: Any) -> dict[str, Any]:
    config = {"@type": f"type.googleapis.com/{type_name}", **fields}
    return {"name": name, "typed_config": config}


def _envoy_configuration(port: int, upstream: int, identity: Identity) -> dict[str, Any]:
    def address(at: int) -> dict[str, Any]:
        return {"socket_address": {"address": "127.0.0.1", "port_value": at}}

    tls = {
        "tls_certificates": [
            {
                "certificate_chain": {"filename": str(identity.certificate.absolute())},
                "private_key": {"filename": str(identity.key.absolute())},
            }
        ],
        "validation_context": {"trusted_ca": {"filename": str(identity.ca.absolute())}},
        "alpn_protocols": ["h2"],
        "tls_params": {"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3"},
    }
    sockets = "envoy.extensions.transport_sockets.tls.v3"
    route = {"match": {"prefix": "/"}, "route": {"cluster": "next", "timeout": "0s"}}
    manager = _typed(
        "envoy.filters.network.http_connection_manager",
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix="bench",
        codec_type="HTTP2",
        generate_request_id=False,
        stream_idle_timeout="0s",
        route_config={"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
        http_filters=[_typed("envoy.filters.http.router", "envoy.extensions.filters.http.router.v3.Router")],
    )
    protocol = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    many = {"max_requests": 100_000, "max_pending_requests": 100_000, "max_connections": 1_000}
    return {
        "static_resources": {
            "listeners": [
                {
                    "name": "edge",
                    "address": address(port),
                    "filter_chains": [
                        {
                            "filters": [manager],
                            "transport_socket": _typed(
                                "envoy.transport_sockets.tls",
                                f"{sockets}.DownstreamTlsContext",
                                require_client_certificate=True,
                                common_tls_context=tls,
                            ),
                        }
                    ],
                }
            ],
            "clusters": [
                {
                    "name": "next",
                    "type": "STATIC",
                    "connect_timeout": "2s",
                    "circuit_breakers": {"thresholds": [many]},
                    "typed_extension_protocol_options": {
                        protocol: {
                            "@type": f"type.googleapis.com/{protocol}",
                            "explicit_http_config": {
                                "http2_protocol_options": {"max_concurrent_streams": 1_000}
                            },
                        }
                    },
                    "transport_socket": _typed(
                        "envoy.transport_sockets.tls",
                        f"{sockets}.UpstreamTlsContext",
                        sni="localhost",
                        common_tls_context=tls,
                    ),
                    "load_assignment": {
                        "cluster_name": "next",
                        "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address(upstream)}}]}],
                    },
                }
            ],
        }
    }


def proxy_command(directory: Path, port: int, upstream: int, identity: Identity) -> list[str]:
    """The command of one plain ``grpc.aio`` proxy."""
    command = [sys.executable, "-m", "bench.proxy", str(port), str(upstream)]
    return [*command, *identity.arguments()]


def commands() -> dict[str, Command | None]:
    """The peers by name; ``None``: not installed here."""
    nginx, envoy = find_nginx(), find_envoy()
    return {
        "envoy": None if envoy is None else lambda *where: envoy_command(envoy, *where),
        "nginx": None if nginx is None else lambda *where: nginx_command(nginx, *where),
        "grpc.aio": proxy_command,
    }


def backend_command(ends: str, port: int, identity: Identity) -> list[str]:
    """The echo, lean or on stock grpcio."""
    module = ["bench.backend"] if ends == "lean" else ["bench.stock", "serve"]
    return [sys.executable, "-m", *module, str(port), *identity.arguments()]


def start_pair(processes: Processes, directory: Path, name: str, command: Command) -> Variant:
    """Two proxies and a backend of their own, running.

    Raises:
        TimeoutError: One of them does not listen.
    """
    identity = make_identity(directory / "pki")
    first, second, backend = free_port(), free_port(), free_port()
    echo = processes.start(f"backend-{name}", backend_command("lean", backend, identity))
    far = processes.start(f"{name}-b", command(directory / "b", second, backend, identity))
    wait_for_port(backend)
    wait_for_port(second)
    near = processes.start(f"{name}-a", command(directory / "a", first, second, identity))
    wait_for_port(first)
    return Variant(
        name=name,
        port=first,
        identity=identity,
        workers={"consumer": (near.pid,), "provider": (far.pid,)},
        backend=echo.pid,
        backend_port=backend,
        backend_identity=identity,
        metadata=("x-road-client=BJ/GOV/PNS/PORTAIL", "x-road-purpose=P01", "x-road-issue=ACT-202611-0001"),
    )
