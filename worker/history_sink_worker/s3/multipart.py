"""What S3 calls a multipart upload, a request each."""

from typing import TYPE_CHECKING, Any

from history_sink_worker.s3.wire import quote_etag, read_etag
from history_sink_worker.store import Abort, Begin, Complete, Copy, MultipartRequest, Send

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


def perform(client: "S3Client", bucket: str, request: MultipartRequest, encryption: Any) -> str | None:
    """The reply that the request's docstring promises, as far as it is a success.

    The metadata and `encryption` (see `wire`) go with the upload's beginning, so what is completed is never without.
    """
    if isinstance(request, Begin):
        begun = client.create_multipart_upload(Bucket=bucket, Key=request.key, Metadata=request.meta, **encryption)
        return begun["UploadId"]
    upload: Any = {"Bucket": bucket, "Key": request.key, "UploadId": request.upload_id}
    match request:
        case Send():
            body: Any = request.body  # no bytes: see `client.EXPECT_BYTES`
            return client.upload_part(**upload, PartNumber=request.number, Body=body)["ETag"]
        case Copy():
            return _copy(client, upload, request)
        case Complete():
            parts: Any = [{"PartNumber": number, "ETag": etag} for number, etag in enumerate(request.etags, 1)]
            answer = client.complete_multipart_upload(
                **upload, MultipartUpload={"Parts": parts}, IfMatch=quote_etag(request.if_match)
            )
            return read_etag(answer["ETag"])
        case Abort():
            client.abort_multipart_upload(**upload)
            return None


def _copy(client: "S3Client", upload: Any, request: Copy) -> str:
    answer = client.upload_part_copy(
        **upload,
        PartNumber=request.number,
        CopySource={"Bucket": upload["Bucket"], "Key": request.key},
        CopySourceIfMatch=quote_etag(request.if_match),
        CopySourceRange=f"bytes={request.start}-{request.end - 1}",
    )
    return answer["CopyPartResult"]["ETag"]
