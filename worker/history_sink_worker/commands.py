"""All commands of `history-sink-worker`."""

from history_sink_worker.dead.cli import dead
from history_sink_worker.doctor.command import doctor
from history_sink_worker.life.delete_command import delete
from history_sink_worker.life.move_command import move
from history_sink_worker.life.prune_command import prune
from history_sink_worker.life.verify_command import verify
from history_sink_worker.rights.command import acl, policy
from history_sink_worker.tidy_command import tidy_command
from history_sink_worker.watch.command import health

ALL = (dead, health, doctor, acl, policy, delete, move, prune, verify, tidy_command)
