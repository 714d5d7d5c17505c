"""botocore without its own sources: what the environment and ``~/.aws`` say to AWS' tools says nothing to us.

Otherwise a profile of nobody ends the worker, an endpoint of another program moves the archive, and a file that
somebody has damaged keeps it from starting. Every variable is in ``botocore.configprovider``; a test goes through them.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import boto3.session
import botocore.session
from botocore.configprovider import BOTOCORE_DEFAUT_SESSION_VARIABLES
from botocore.plugin import PluginContext, reset_plugin_context, set_plugin_context

from history_sink_worker.s3.service_files import make_loader

_FILES = {"config_file", "credentials_file"}


@cache
def session() -> boto3.session.Session:
    """One for all stores: what it knows of S3 takes some MB."""
    core = botocore.session.Session()
    core.register_component("data_loader", make_loader())
    for name, (_, _, default, convert) in BOTOCORE_DEFAUT_SESSION_VARIABLES.items():
        core.session_var_map[name] = (None, None, os.devnull if name in _FILES else default, convert)
    with no_plugins():
        return boto3.session.Session(botocore_session=core)


@contextmanager
def no_plugins() -> Iterator[None]:
    """While a client is made: BOTOCORE_EXPERIMENTAL__PLUGINS would have it import modules and change the client."""
    token = set_plugin_context(PluginContext(plugins="DISABLED"))
    try:
        yield
    finally:
        reset_plugin_context(token)
