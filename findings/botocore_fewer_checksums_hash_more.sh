#!/usr/bin/env bash
# botocore 1.44.5 over https: `request_checksum_calculation="when_required"`, which is how one leaves out the CRC32 that a
# PUT sends by default, has botocore hash the whole body by SHA-256 instead, to sign it. The default does not.
# Expected: the option takes a checksum away, and adds none.
# What helps: `s3={"payload_signing_enabled": False}` beside it (TLS alone then guards the body on its way).
# Nothing is sent: an event handler answers in the network's place.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'boto3==1.44.5' 'botocore==1.44.5'
cat > "$folder/look.py" <<'PYTHON'
import hashlib
import io

import boto3
from botocore.awsrequest import AWSResponse
from botocore.config import Config

BODY = b"x" * 3000


class Raw(io.BytesIO):
    def stream(self, **_):
        yield b""


def sent(**options):
    """What a PUT says of its body's hash, and whether a CRC comes with it."""
    client = boto3.client(
        "s3", endpoint_url="https://store.invalid", region_name="us-east-1", aws_access_key_id="a",
        aws_secret_access_key="b", config=Config(**options),
    )  # fmt: skip
    headers = {}

    def answer(request, **_):
        headers.update({name.lower(): value for name, value in request.headers.items()})
        return AWSResponse(request.url, 200, {"ETag": '"x"'}, Raw())

    client.meta.events.register("before-send.s3", answer)
    client.put_object(Bucket="bucket", Key="k", Body=BODY)
    value = headers["x-amz-content-sha256"]
    hashed = (value if isinstance(value, str) else value.decode()) == hashlib.sha256(BODY).hexdigest()
    return "SHA-256 of the body" if hashed else "no SHA-256", "CRC32" if b"crc32" in str(headers).encode() else "no CRC"


seen = {
    "default": sent(),
    "when_required": sent(request_checksum_calculation="when_required"),
    "and payload_signing_enabled=False": sent(
        request_checksum_calculation="when_required", s3={"payload_signing_enabled": False}
    ),
}
for name, said in seen.items():
    print(f"{name}: {', '.join(said)}")
expected = [("no SHA-256", "CRC32"), ("SHA-256 of the body", "no CRC"), ("no SHA-256", "no CRC")]
raise SystemExit(0 if list(seen.values()) == expected else "CHANGED")
PYTHON
timeout 120 "$folder/venv/bin/python" "$folder/look.py"
