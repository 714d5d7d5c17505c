#!/usr/bin/env bash
# botocore 1.44.5: `put_object(Body=b"...")` of three bytes asks `Expect: 100-continue` and, from a server or proxy of
# HTTP/1.0, which does not know that header, waits a whole second before it sends them: each PUT takes a second. The same
# bytes as a `bytearray` are sent at once, without the header.
# Expected: bytes and bytearray are sent alike; a body smaller than its own headers is not announced.
# Even where 100 is answered, each PUT of bytes has a round trip more.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'boto3==1.44.5' 'botocore==1.44.5'
cat > "$folder/look.py" <<'PYTHON'
import http.server
import threading
import time

import boto3
from botocore.config import Config


class Store(http.server.BaseHTTPRequestHandler):
    """Of HTTP/1.0, this class's default."""

    asked: list[bool] = []

    def do_PUT(self):
        Store.asked.append("Expect" in self.headers)
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("ETag", '"x"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Store)
threading.Thread(target=server.serve_forever, daemon=True).start()
s3 = boto3.client(
    "s3", endpoint_url=f"http://127.0.0.1:{server.server_port}", region_name="us-east-1", aws_access_key_id="a",
    aws_secret_access_key="b", config=Config(s3={"addressing_style": "path"}, proxies={}),
)  # fmt: skip


def put(body):
    start = time.monotonic()
    s3.put_object(Bucket="bucket", Key="k", Body=body)
    seconds = time.monotonic() - start
    print(f"{type(body).__name__}: Expect sent: {Store.asked[-1]}; {seconds:.2f} s")
    return Store.asked[-1], seconds


put(bytearray(b"abc"))  # the first one loads what any first one does
asked, slow = put(b"abc")
unasked, quick = put(bytearray(b"abc"))
raise SystemExit(0 if asked and not unasked and 0.9 < slow < 5 and quick < 0.9 else "CHANGED")
PYTHON
timeout 120 "$folder/venv/bin/python" "$folder/look.py"
