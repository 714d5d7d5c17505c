#!/usr/bin/env bash
# moto 5.2.5: PutObject heeds `IfMatch` and `IfNoneMatch`, CompleteMultipartUpload heeds `IfNoneMatch`. But
# CompleteMultipartUpload with an `IfMatch` that matches nothing replaces the object, CopyObject with `IfNoneMatch="*"` does,
# and PutObject with `WriteOffsetBytes=5` (S3 Express: append there) replaces the five bytes by its own instead of adding.
# Expected: what is not done is refused (501 NotImplemented), as other servers do; else a test of a lost update passes.
# Consequence: code that swaps large objects by comparing ETags, or that appends, loses updates on moto that it keeps elsewhere.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'moto[s3]==5.2.5' 'boto3==1.44.5' 'botocore==1.44.5'
cat > "$folder/look.py" <<'PYTHON'
import boto3
from botocore.exceptions import ClientError
from moto import mock_aws

HERE = {"Bucket": "bucket", "Key": "k"}


def complete(s3, **condition):
    upload = s3.create_multipart_upload(**HERE)["UploadId"]
    etag = s3.upload_part(**HERE, UploadId=upload, PartNumber=1, Body=b"other")["ETag"]
    parts = {"Parts": [{"PartNumber": 1, "ETag": etag}]}
    s3.complete_multipart_upload(**HERE, UploadId=upload, MultipartUpload=parts, **condition)


def copy(s3):
    s3.put_object(Bucket="bucket", Key="source", Body=b"other")
    s3.copy_object(**HERE, CopySource="bucket/source", IfNoneMatch="*")


CALLS = {
    "PutObject IfNoneMatch=*": lambda s3: s3.put_object(**HERE, Body=b"other", IfNoneMatch="*"),
    "PutObject IfMatch=stale": lambda s3: s3.put_object(**HERE, Body=b"other", IfMatch='"stale"'),
    "CompleteMultipartUpload IfNoneMatch=*": lambda s3: complete(s3, IfNoneMatch="*"),
    "CompleteMultipartUpload IfMatch=stale": lambda s3: complete(s3, IfMatch='"stale"'),
    "CopyObject IfNoneMatch=*": copy,
    "PutObject WriteOffsetBytes=5": lambda s3: s3.put_object(**HERE, Body=b"other", WriteOffsetBytes=5),
}
seen = {}
with mock_aws():
    s3 = boto3.client("s3", region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b")
    s3.create_bucket(Bucket="bucket")
    for name, call in CALLS.items():
        s3.put_object(**HERE, Body=b"first")
        try:
            call(s3)
            said = "done"
        except ClientError as error:
            said = error.response["Error"]["Code"]
        seen[name] = said, s3.get_object(**HERE)["Body"].read()
        print(f"{name}: {said}; the object is now {seen[name][1]!r}")
refused, replaced = ("PreconditionFailed", b"first"), ("done", b"other")
raise SystemExit(0 if list(seen.values()) == [refused] * 3 + [replaced] * 3 else "CHANGED")
PYTHON
timeout 120 "$folder/venv/bin/python" "$folder/look.py"
