#!/usr/bin/env bash
# botocore 1.44.5: a PUT with `If-None-Match: *` whose answer is lost is sent again by default, and the caller gets
# 412 PreconditionFailed for the object that its own first request has just created.
# Expected: 412 means that somebody else was first; a conditional write is not idempotent, so it is not repeated unasked.
# What helps: `Config(retries={"total_max_attempts": 1})`, and to look at the store after a lost answer.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'boto3==1.44.5' 'botocore==1.44.5'
cat > "$folder/look.py" <<'PYTHON'
import http.server
import threading

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError


class Store(http.server.BaseHTTPRequestHandler):
    """As S3 says: the first PUT of a key creates it, the next one is answered 412. The first answer is lost."""

    objects: dict[str, int] = {}
    protocol_version = "HTTP/1.1"

    def do_PUT(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.objects[self.path] = self.objects.get(self.path, 0) + 1
        if self.objects[self.path] == 1:
            self.close_connection = True
            return
        body = b"<Error><Code>PreconditionFailed</Code></Error>"
        self.send_response(412)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Store)
threading.Thread(target=server.serve_forever, daemon=True).start()


def put(key, **config):
    client = boto3.client(
        "s3", endpoint_url=f"http://127.0.0.1:{server.server_port}", region_name="us-east-1", aws_access_key_id="a",
        aws_secret_access_key="b", config=Config(s3={"addressing_style": "path"}, proxies={}, **config),
    )  # fmt: skip
    try:
        client.put_object(Bucket="b", Key=key, Body=bytearray(b"x"), IfNoneMatch="*")
    except ClientError as error:
        seen = error.response["Error"]["Code"]
    except BotoCoreError as error:
        seen = type(error).__name__
    else:
        seen = "created"
    print(f"{key}: {seen}, after {Store.objects[f'/b/{key}']} requests")
    return seen, Store.objects[f"/b/{key}"]


by_default = put("by-default")
once = put("one-attempt", retries={"total_max_attempts": 1})
raise SystemExit(0 if by_default == ("PreconditionFailed", 2) and once == ("ConnectionClosedError", 1) else "CHANGED")
PYTHON
env -u AWS_PROFILE AWS_CONFIG_FILE=/dev/null AWS_SHARED_CREDENTIALS_FILE=/dev/null timeout 60 "$folder/venv/bin/python" "$folder/look.py"
