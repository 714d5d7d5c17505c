#!/usr/bin/env bash
# tantivy 0.27.0 (Python): the analyzer `default`, which a text field has unless it is told another, leaves out each word of
# 40 bytes and more without a word about it. A commit's id of Git is exactly 40: none is ever found by its text. Of 39 is.
# Expected: what is indexed is found by itself; a limit against binary rubbish lies beyond the ids that people search for.
# What helps: `TextAnalyzerBuilder(Tokenizer.simple()).filter(Filter.remove_long(256)).filter(Filter.lowercase()).build()`.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'tantivy==0.27.0'
cat > "$folder/look.py" <<'PYTHON'
import tantivy

IDS = {"39 characters": "3f2a" * 9 + "3f2", "SHA-1, 40": "3f2a" * 10, "SHA-256, 64": "3f2a" * 16}


def count(analyzer):
    """For each id, how many of three texts are found by it: it is in one of them."""
    builder = tantivy.SchemaBuilder()
    builder.add_text_field("text", **({"tokenizer_name": "own"} if analyzer else {}))
    index = tantivy.Index(builder.build())
    if analyzer:
        index.register_tokenizer("own", analyzer)
    writer = index.writer(15_000_000, 1)
    for word in IDS.values():
        writer.add_document(tantivy.Document(text=f"since {word} it is broken"))
    writer.commit()
    index.reload()
    searcher = index.searcher()
    return [searcher.search(index.parse_query(word, ["text"]), 10).count for word in IDS.values()]


own = (
    tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.simple())
    .filter(tantivy.Filter.remove_long(256))
    .filter(tantivy.Filter.lowercase())
    .build()
)
seen = {"default": count(None), "remove_long(256)": count(own)}
for name, counts in seen.items():
    print(f"{name}:", ", ".join(f"{what}: {found}" for what, found in zip(IDS, counts, strict=True)))
raise SystemExit(0 if seen == {"default": [1, 0, 0], "remove_long(256)": [1, 1, 1]} else "CHANGED")
PYTHON
timeout 120 "$folder/venv/bin/python" "$folder/look.py"
