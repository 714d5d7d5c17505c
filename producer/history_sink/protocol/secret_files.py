"""Secrets from files: `X_FILE` names a file that holds what `X` would, as Docker's and Kubernetes' secrets are mounted.

The convention is Docker's official images': https://docs.docker.com/compose/how-tos/use-secrets/
"""

from collections.abc import Collection, Mapping

from history_sink.errors import ConfigurationError

SUFFIX = "_FILE"
_MOST_BYTES = 64 * 1024


def read_secrets(env: Mapping[str, str], names: Collection[str]) -> Mapping[str, str]:
    """`env`, and in it each of `names` whose file it tells. The file's surrounding white space is dropped.

    Raises ConfigurationError, naming the variable and never a secret: a file that cannot be read or is empty, or both
    forms at once (which of them would count?).
    """
    found = {}
    for name in names:
        path = env.get(name + SUFFIX, "").strip()
        if not path:
            continue
        if env.get(name, "").strip():
            raise ConfigurationError(f"both {name} and {name}{SUFFIX} are set: leave one of them out")
        found[name] = _read(name + SUFFIX, path)
    return {**env, **found} if found else env


def _read(variable: str, path: str) -> str:
    try:
        with open(path, "rb") as file:
            data = file.read(_MOST_BYTES + 1)
        text = data.decode().strip()
    except OSError as error:
        raise ConfigurationError(f"{variable}: {path} cannot be read: {error.strerror}") from None
    except ValueError:  # not UTF-8, or no path at all; its text would quote the bytes
        raise ConfigurationError(f"{variable} names no file with a secret in UTF-8") from None
    if not text or len(data) > _MOST_BYTES:
        raise ConfigurationError(f"{variable}: {path} is {'too long for a secret' if text else 'empty'}")
    return text
