#!/usr/bin/env bash
# botocore 1.44.5, where something in between answers each request by a page of HTML and status 200 (a sign-in page, a
# proxy's notice, a store's web console on the next port):
# `get_object` hands out the page as the object's content. `list_objects_v2` and `put_object` ask three times, and report a
# status that nobody sent, 500, also in `ResponseMetadata`: a store that is down, by the looks of it.
# Expected: an error that says the answer is not one of S3, from each; the true status in `ResponseMetadata`.
# What helps: compare a checksum, or a header of one's own, with the content; look at the raw status in an event handler.
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
from botocore.exceptions import ClientError

PAGE = b"<!DOCTYPE html><html><body><p>Please sign in<br></body></html>"


class Page(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    requests = 0

    def do_GET(self):
        Page.requests += 1
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(PAGE)))
        self.end_headers()
        self.wfile.write(PAGE)

    do_PUT = do_GET

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
threading.Thread(target=server.serve_forever, daemon=True).start()
s3 = boto3.client(
    "s3", endpoint_url=f"http://127.0.0.1:{server.server_port}", region_name="us-east-1", aws_access_key_id="a",
    aws_secret_access_key="b", config=Config(s3={"addressing_style": "path"}, proxies={}),
)  # fmt: skip
calls = {
    "get_object": lambda: s3.get_object(Bucket="bucket", Key="k")["Body"].read(),
    "list_objects_v2": lambda: s3.list_objects_v2(Bucket="bucket"),
    "put_object": lambda: s3.put_object(Bucket="bucket", Key="k", Body=b"x"),
}
seen = {}
for name, call in calls.items():
    Page.requests = 0
    try:
        said = "the page" if call() == PAGE else "something else"
    except ClientError as error:
        said = error.response["ResponseMetadata"]["HTTPStatusCode"]
    seen[name] = said, Page.requests
    print(f"{name}: {said}, after {Page.requests} request(s)")
expected = {"get_object": ("the page", 1), "list_objects_v2": (500, 3), "put_object": (500, 3)}
raise SystemExit(0 if seen == expected else "CHANGED")
PYTHON
timeout 120 "$folder/venv/bin/python" "$folder/look.py"
