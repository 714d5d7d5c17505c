#!/usr/bin/env bash
# Gemini CLI 0.61.0: `gemini --list-sessions` deletes a session where a second file of its id lies beside it that has no message
# in it yet. Each `--resume` in another minute makes such a file, so a session goes because somebody has gone on with it.
# Expected: a list reads; and a file without messages says nothing about the one that has them.
# What helps: {"general": {"sessionRetention": {"enabled": false}}} in ~/.gemini/settings.json, or the files kept elsewhere.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
npm install --silent --no-fund --no-audit --prefix "$folder/npm" @google/gemini-cli@0.61.0
session=0a1b2c3d-0000-4000-8000-00000000abcd
now=$(date -u +%FT%TZ)
first="{\"sessionId\":\"$session\",\"projectHash\":\"made-up\",\"startTime\":\"$now\",\"lastUpdated\":\"$now\",\"kind\":\"main\"}"

make_home() { # name, settings
    chats="$folder/$1/.gemini/tmp/project/chats"
    mkdir -p "$chats" "$folder/$1/project"
    printf '%s' "$folder/$1/project" > "$folder/$1/.gemini/tmp/project/.project_root"
    printf '{"projects":{"%s":"project"}}' "$folder/$1/project" > "$folder/$1/.gemini/projects.json"
    printf '{"security":{"auth":{"selectedType":"gemini-api-key"}}%s}' "$2" > "$folder/$1/.gemini/settings.json"
    printf '%s\n{"id":"1","timestamp":"%s","type":"user","content":[{"text":"Mend the door"}]}\n' "$first" "$now" \
        > "$chats/session-$(date -u +%FT%H-%M -d '1 hour ago')-0a1b2c3d.jsonl"
}

list_sessions() { # name; nobody listens at these addresses
    (cd "$folder/$1/project" && timeout 60 env -i PATH="$PATH" HOME="$folder/$1" GEMINI_API_KEY=made-up \
        GOOGLE_GEMINI_BASE_URL=http://127.0.0.1:9 HTTPS_PROXY=http://127.0.0.1:9 NO_PROXY=127.0.0.1 \
        GEMINI_CLI_TRUST_WORKSPACE=true GEMINI_CLI_NO_RELAUNCH=true "$folder/npm/node_modules/.bin/gemini" --list-sessions) \
        > /dev/null 2>&1 || true
    { grep -rl 'Mend the door' "$folder/$1/.gemini/tmp" || true; } | wc -l
}

resume() { # name: what a resume leaves
    printf '%s\n' "$first" > "$folder/$1/.gemini/tmp/project/chats/session-$(date -u +%FT%H-%M)-0a1b2c3d.jsonl"
}

make_home plain ''
make_home kept ',"general":{"sessionRetention":{"enabled":false}}'
alone=$(list_sessions plain)
resume plain
resume kept
beside=$(list_sessions plain)
kept=$(list_sessions kept)
echo "files with the message after --list-sessions: alone $alone, beside a file without messages $beside, retention off $kept"
[ "$alone $beside $kept" = "1 0 1" ] || { echo CHANGED; exit 1; }
