"""What a broker's URL says of TLS, to the libraries that read it."""

import re
from urllib.parse import urlsplit


def check_certificates(url: str) -> str:
    """`url`, asking for the server's certificate to be checked unless it says what to do.

    Kombu would take any certificate at ``rediss://host``, and Celery's result backend would refuse that URL.
    """
    # Two readers know kombu's older words for it, redis-py these alone.
    url = re.sub(r"(?<=[?&]ssl_cert_reqs=)(?:CERT_)?(NONE|OPTIONAL|REQUIRED)(?=&|$)", lambda word: word[1].lower(), url)
    parts = urlsplit(url)
    if parts.scheme != "rediss" or "ssl_cert_reqs=" in parts.query:
        return url
    return f"{url}{'&' if parts.query else '?'}ssl_cert_reqs=required"


def tls_of(url: str) -> dict[str, None] | None:
    """What kombu is to be told of TLS at `url`: for ``amqps://`` it would not look for which host a certificate is.

    (None stands for the host in the URL.)
    """
    return {"server_hostname": None} if urlsplit(url).scheme == "amqps" else None
