"""On loopback, who gives keys to programs: an OpenID provider, and AWS' services for instances, containers and SSO."""

import base64
import hashlib
import json
import subprocess
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import boto3

from stack.minio import MinioServer

CLIENT_ID = "history"
Given = dict[str, Any]
"""As STS answers: AccessKeyId, SecretAccessKey, SessionToken, Expiration."""


def assume_role(minio: MinioServer, user: tuple[str, str]) -> Given:
    """Keys for a quarter of an hour, which is the least, of MinIO's STS."""
    sts = _sts(minio, *user)
    return dict(sts.assume_role(RoleArn=role(), RoleSessionName="session", DurationSeconds=900)["Credentials"])


def assume_role_by_token(minio: MinioServer, token: str) -> Given:
    """Keys of MinIO's STS that expire when `token` does."""
    sts = _sts(minio, "any", "any")
    answer = sts.assume_role_with_web_identity(RoleArn=role(), RoleSessionName="session", WebIdentityToken=token)
    return dict(answer["Credentials"])


def role() -> str:
    """As MinIO names what `CLIENT_ID` may take on."""
    return f"arn:minio:iam:::role/{_encode(hashlib.sha1(CLIENT_ID.encode()).digest())}"


def _sts(minio: MinioServer, access_key: str, secret_key: str) -> Any:
    return boto3.client(
        "sts",
        endpoint_url=minio.endpoint,
        region_name="us-east-1",
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
    )


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Giver:
    """Answers as each of them. `give` makes the keys; `asked` has the paths, in order."""

    def __init__(self, directory: Path) -> None:
        self.give: Callable[[], Given] = dict
        self.asked: list[str] = []
        self._key = directory / "openid.pem"
        subprocess.run(["openssl", "genrsa", "-out", str(self._key), "2048"], check=True, capture_output=True)
        told = subprocess.run(
            ["openssl", "rsa", "-in", str(self._key), "-noout", "-modulus"], check=True, capture_output=True, text=True
        )
        self._modulus = bytes.fromhex(told.stdout.strip().partition("=")[2])
        giver = self

        class Answers(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                giver.asked.append(self.path)
                answer = giver._answer(self.path.partition("?")[0])
                body = answer.encode() if isinstance(answer, str) else json.dumps(answer, default=str).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_PUT(self) -> None:
                self.do_GET()

            def log_message(self, format: str, *args: Any) -> None:
                """Silence."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def token(self, seconds: float) -> str:
        """Says who its bearer is, for so long."""
        header = _encode(json.dumps({"alg": "RS256", "typ": "JWT", "kid": "k"}).encode())
        claims = {"iss": self.url, "sub": "worker", "aud": CLIENT_ID, "exp": int(time.time() + seconds)}
        signed = f"{header}.{_encode(json.dumps(claims).encode())}"
        sign = ["openssl", "dgst", "-sha256", "-sign", str(self._key)]
        signature = subprocess.run(sign, input=signed.encode(), check=True, capture_output=True).stdout
        return f"{signed}.{_encode(signature)}"

    def _answer(self, path: str) -> Any:
        keys = {"kty": "RSA", "alg": "RS256", "use": "sig", "kid": "k", "n": _encode(self._modulus), "e": "AQAB"}
        match path.strip("/").split("/"):
            case [".well-known", _]:
                return {
                    "issuer": self.url,
                    "jwks_uri": f"{self.url}/jwks",
                    "authorization_endpoint": f"{self.url}/authorize",
                    "token_endpoint": f"{self.url}/token",
                    "response_types_supported": ["code"],
                    "subject_types_supported": ["public"],
                    "id_token_signing_alg_values_supported": ["RS256"],
                }
            case ["jwks"]:
                return {"keys": [keys]}
            case ["latest", "api", "token"]:
                return "a-session-of-the-metadata-service"
            case ["latest", "meta-data", "iam", "security-credentials"]:
                return "a-role"
            case ["federation", "credentials"]:
                return {"roleCredentials": self._as_sso()}
            case _:
                return self._as_metadata()

    def _as_metadata(self) -> Given:
        given = self.give()
        at = given["Expiration"].strftime("%Y-%m-%dT%H:%M:%SZ")
        return {**given, "Token": given["SessionToken"], "Expiration": at, "Code": "Success"}

    def _as_sso(self) -> Given:
        given = self.give()
        return {
            "accessKeyId": given["AccessKeyId"],
            "secretAccessKey": given["SecretAccessKey"],
            "sessionToken": given["SessionToken"],
            "expiration": int(given["Expiration"].timestamp() * 1000),
        }
