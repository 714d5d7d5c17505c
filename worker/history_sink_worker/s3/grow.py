"""`Grow` as S3 does it: a multipart upload whose first parts are copied from the object itself."""

from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from history_sink_worker.s3.errors import FOREIGN
from history_sink_worker.s3.wire import cut, quote_etag, read_etag
from history_sink_worker.store import Grow

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

COPY_PART_BYTES = 256 * 1024 * 1024
"""S3 allows 5 GiB, but MinIO really copies: that would outlast the read timeout, each time."""
TAIL_PART_BYTES = 16 * 1024 * 1024
"""How much of the tail is sent at a time."""


def grow(client: "S3Client", bucket: str, request: Grow, encryption: Any) -> str:
    """Copy, send the tail, complete; abort if any of it fails. -> the new ETag.

    The copy is bound to the version read, the completion to the version replaced: both the same.
    The metadata and `encryption` (see `wire`) go with the upload's creation, so what is completed is never without.
    """
    created = client.create_multipart_upload(Bucket=bucket, Key=request.key, Metadata=request.meta, **encryption)
    upload: Any = {"Bucket": bucket, "Key": request.key, "UploadId": created["UploadId"]}
    try:
        etags = [*_copy_base(client, upload, request), *_send_tail(client, upload, request)]
        answer = client.complete_multipart_upload(
            **upload,
            MultipartUpload={"Parts": [{"PartNumber": n, "ETag": etag} for n, etag in enumerate(etags, 1)]},
            IfMatch=quote_etag(request.if_match),
        )
        return read_etag(answer["ETag"])
    except BaseException:
        # Its parts would take up space, seen in no LIST. What made us abort is what must be heard.
        with suppress(*FOREIGN):
            client.abort_multipart_upload(**upload)
        raise


def _copy_base(client: "S3Client", upload: Any, request: Grow) -> Iterator[str]:
    for number, (start, end) in enumerate(cut(request.size_bytes, COPY_PART_BYTES), 1):
        answer = client.upload_part_copy(
            **upload,
            PartNumber=number,
            CopySource={"Bucket": upload["Bucket"], "Key": request.key},
            CopySourceIfMatch=quote_etag(request.if_match),
            CopySourceRange=f"bytes={start}-{end - 1}",
        )
        yield answer["CopyPartResult"]["ETag"]


def _send_tail(client: "S3Client", upload: Any, request: Grow) -> Iterator[str]:
    first = len(cut(request.size_bytes, COPY_PART_BYTES)) + 1
    for number, (start, end) in enumerate(cut(len(request.tail), TAIL_PART_BYTES), first):
        body: Any = memoryview(request.tail)[start:end]  # no bytes: see s3.EXPECT_BYTES; and no copy
        yield client.upload_part(**upload, PartNumber=number, Body=body)["ETag"]
