#!/usr/bin/env bash
# Claude Code 2.1.332 deletes sessions of all projects some seconds after any start, by the file's time of the last change and
# by nothing else: no setting asks for it, and no login or model is needed. A session of today whose file has an old time, as
# `cp -p`, rsync or a backup leaves it, is gone; one of years ago whose file was just touched stays.
# Expected: a session that was put back is there when it is looked for, or its age is told by the times written in it.
# What helps: set the time of each restored file to now (`touch`), and `cleanupPeriodDays` in settings.json high.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
npm install --silent --no-fund --no-audit --prefix "$folder/npm" @anthropic-ai/claude-code@2.1.332
projects="$folder/home/.claude/projects"
mkdir -p "$projects/-of-today" "$projects/-of-old" "$folder/work"
write() { # session, when its message was said
    printf '{"type":"user","uuid":"1","sessionId":"%s","timestamp":"%s","message":{"role":"user","content":"made up"}}\n' "$1" "$2"
}
of_today="$projects/-of-today/0a1b2c3d-0000-4000-8000-000000000001.jsonl"
of_old="$projects/-of-old/0a1b2c3d-0000-4000-8000-000000000002.jsonl"
write 0a1b2c3d-0000-4000-8000-000000000001 "$(date -u +%FT%TZ)" > "$of_today"
write 0a1b2c3d-0000-4000-8000-000000000002 2020-01-01T00:00:00Z > "$of_old"
touch -d '31 days ago' "$of_today"
# Nobody listens there: it tries again and again, which is as long as a session that somebody works in.
cd "$folder/work"
timeout 30 env -i PATH="$PATH" HOME="$folder/home" IS_SANDBOX=1 DISABLE_AUTOUPDATER=1 ANTHROPIC_API_KEY=made-up \
    ANTHROPIC_BASE_URL=http://127.0.0.1:9 HTTPS_PROXY=http://127.0.0.1:9 NO_PROXY=127.0.0.1 \
    CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1 "$folder/npm/node_modules/.bin/claude" -p hello > /dev/null 2>&1 || true
for file in "$of_today" "$of_old"; do
    [ -e "$file" ] && echo "stays: ${file#"$projects"/}" || echo "gone: ${file#"$projects"/}"
done
[ ! -e "$of_today" ] && [ -e "$of_old" ] || { echo CHANGED; exit 1; }
