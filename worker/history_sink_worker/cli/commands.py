"""All commands of `history-sink-worker`."""

from history_sink_worker.cli.audit import audit
from history_sink_worker.cli.dead import dead
from history_sink_worker.cli.delete import delete
from history_sink_worker.cli.doctor import doctor
from history_sink_worker.cli.health import health
from history_sink_worker.cli.move import move
from history_sink_worker.cli.prune import prune
from history_sink_worker.cli.rights import acl, policy
from history_sink_worker.cli.run import run
from history_sink_worker.cli.tidy import tidy_command
from history_sink_worker.cli.verify import verify

ALL = (run, dead, health, doctor, acl, policy, delete, move, prune, verify, audit, tidy_command)
