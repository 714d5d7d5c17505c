#!/usr/bin/env bash
# botocore 1.44.5: temporary keys that are good for another nine minutes are given up when one refresh fails. Signing
# raises what the refresh raised, on every call, until a refresh succeeds. With eleven minutes left the same failure is
# passed over in silence, and the keys go on being used.
# Expected: keys are used until they expire; their source (STS, instance metadata, a file) may be away for a moment.
# What helps: keys that live for an hour or more, and a source that is asked long before their last ten minutes
# (`RefreshableCredentials._mandatory_refresh_timeout`; no setting changes it).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'botocore==1.44.5'
cat > "$folder/look.py" <<'PYTHON'
from datetime import datetime, timedelta, timezone

from botocore.credentials import RefreshableCredentials


def fail():
    raise ConnectionError("the source is away")


def sign_with(minutes):
    """What a caller gets from keys with so many minutes left, while their source is away."""
    until = datetime.now(timezone.utc) + timedelta(minutes=minutes)
    keys = RefreshableCredentials("access", "secret", "token", until, fail, "test")
    try:
        return keys.get_frozen_credentials().access_key
    except ConnectionError as error:
        return f"ConnectionError: {error}"


early, late = sign_with(11), sign_with(9)
print(f"11 minutes left: {early}")
print(f" 9 minutes left: {late}")
raise SystemExit(0 if (early, late) == ("access", "ConnectionError: the source is away") else "CHANGED")
PYTHON
timeout 60 "$folder/venv/bin/python" "$folder/look.py"
