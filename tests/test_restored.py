"""What a restore notes for the watcher."""

from pathlib import Path

from history_sink_agents.restored import Restored, find_state_folder, recall, remember


def test_the_last_note_of_a_path_counts_and_damage_is_passed_over(tmp_path: Path) -> None:
    folder = find_state_folder({"XDG_STATE_HOME": str(tmp_path)}, Path("/nowhere"))
    assert recall(folder) == {}
    first = Restored("/h/a.jsonl", "claude.a", None, 10, "00")
    second = Restored("/h/a.jsonl", "claude.a", "000000000010-0123456789abcdef", 20, "11")
    remember(folder, first)
    with (folder / "restored.jsonl").open("ab") as file:
        file.write(b'{"path":1}\n[]\n\xff\n{"torn')
        file.write(b"\n")
    remember(folder, second)
    assert recall(folder) == {"/h/a.jsonl": second}
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / "restored.jsonl").stat().st_mode & 0o777 == 0o600
