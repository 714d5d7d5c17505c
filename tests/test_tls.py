"""A worker whose broker, results and hints are behind TLS: it takes no certificate that nobody vouches for."""

import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from forked_process import ForkedWorker
from history_sink import HistorySink
from stack.minio import MinioServer
from stack.processes import free_port, wait_until
from stack.proxy import Proxy
from stack.redis import RedisServer
from stack.stack import environment


def server_side(directory: Path, names: str = "DNS:localhost") -> ssl.SSLContext:
    """With a certificate for these, made now, in `directory`."""
    key, certificate = directory / "key.pem", directory / "cert.pem"
    kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1"]
    name = ["-subj", "/CN=localhost", "-addext", f"subjectAltName={names}"]
    command = ["openssl", "req", "-x509", *kind, *name, "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True, timeout=20)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


class TlsRedis(RedisServer):
    """One that speaks TLS on `tls_port`, with the certificate in `directory`."""

    def _configuration(self, directory: Path, fsync: str) -> str:
        self.tls_port = free_port()
        files = f"tls-cert-file {directory}/cert.pem\ntls-key-file {directory}/key.pem\n"
        return f"{super()._configuration(directory, fsync)}tls-port {self.tls_port}\ntls-auth-clients no\n{files}"


@pytest.fixture(params=["proxy", pytest.param("redis", marks=pytest.mark.system)])
def tls_port(request: pytest.FixtureRequest, redis_server: RedisServer, tmp_path: Path) -> Iterator[int]:
    """Redis behind TLS, in front of it where the bundled server cannot speak it."""
    context = server_side(tmp_path)
    if request.param == "proxy":
        with Proxy(redis_server.port, tls=context) as proxy:
            yield proxy.port
    else:
        server = TlsRedis(tmp_path)
        server.start()
        yield server.tls_port
        server.stop()


def test_a_worker_speaks_tls_and_checks_certificates(
    tls_port: int, minio_server: MinioServer, bucket: str, tmp_path: Path
) -> None:
    url, authority = f"rediss://localhost:{tls_port}/4000", str(tmp_path / "cert.pem")
    named = f"{url}?ssl_ca_certs={authority}"
    for name, its_url, of_the_system in (("named", named, {}), ("system", url, {"SSL_CERT_FILE": authority})):
        settings = {**environment(minio_server, its_url, bucket), **of_the_system}
        worker = ForkedWorker(settings, log_path=tmp_path / f"{name}.log", name=name)
        session = f"{name}-{tls_port}"
        try:
            worker.start()
            with HistorySink(broker_url=named) as sink:
                assert sink.save(session, [{"text": "x" * size} for size in (1, 100_000, 1)]).state == "enqueued"
                assert sink.flush(session, 20)
        finally:
            worker.process.kill()
        assert "redis away" not in worker.process.log()  # the hints

    stranger = ForkedWorker(environment(minio_server, url, bucket), log_path=tmp_path / "stranger.log")
    stranger.process.launch()
    try:
        wait_until(
            lambda: "certificate verify failed" in stranger.process.log(), timeout_seconds=20, what="it to be refused"
        )
    finally:
        stranger.process.kill()
    assert "ready." not in stranger.process.log()
