"""What botocore knows of S3, from its own files, without what nobody asks for here.

That is a quarter of it: the rest is documentation, where four hundred other services are, and the order of dicts, which
have one of their own by now. A client of botocore's own making takes 15 MB, with this 7. Its files alone are read:
those of ``~/.aws/models`` would be another program's.
"""

import gzip
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from botocore.loaders import JSONFileLoader, Loader

_ASKED = ("s3", "sts")  # STS gives the keys of a role


class _AskedAlone(JSONFileLoader):
    """Reads files by their paths without ending, as botocore names them."""

    def load_file(self, file_path: str) -> Any:
        """What is in the file; None: there is none."""
        plain, packed = Path(f"{file_path}.json"), Path(f"{file_path}.json.gz")
        if plain.is_file():
            content = plain.read_bytes()
        elif packed.is_file():
            content = gzip.decompress(packed.read_bytes())
        else:
            return None
        is_of_regions = plain.name == "endpoints.json"
        return json.loads(content, object_pairs_hook=_with_asked_alone if is_of_regions else _without_documentation)


def make_loader() -> Loader:
    """For one session; what it has read, it keeps."""
    return Loader([Loader.BUILTIN_DATA_PATH], _AskedAlone(), include_default_search_paths=False)


def _without_documentation(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    # Emptied where it is a text: botocore asks for some by name, and a shape might have a member of that name.
    return {name: "" if name == "documentation" and isinstance(value, str) else value for name, value in pairs}


def _with_asked_alone(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if "services" in found:
        found["services"] = {name: found["services"][name] for name in _ASKED if name in found["services"]}
    return found
