"""Secrets of many kinds in notations of people, shells, languages and files that no rule was made by at first."""

import base64
import json
import random
import string
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from bench.planted_secrets import BASE62, Mint, Planted
from history_sink_agents.redaction import Redaction

REDACTION = Redaction(environment={}, state_folder=Path("/nonexistent"))
LEAST_SHARE = 0.94
HEX, URL = "0123456789abcdef", BASE62 + "-_"
KNOWN_TO_STAY = {"question", "parens", "user's part", "no link"}
"""Here nothing says that one belongs to the other; kinds that the engine knows by themselves are found all the same."""

NOTATIONS = {
    "JSON in a log": 'INFO body="{{\\"{camel}\\": \\"{value}\\"}}" status=200',
    "YAML in a diff": "--- a/values.yaml\n+++ b/values.yaml\n@@ -3,2 +3,3 @@\n env:\n+  {name}: {value}\n   PORT: 80\n",
    "removed from a file": '-{name}="{value}"\n+{name}=\n',
    "JSON in a diff": '@@ -1,3 +1,3 @@\n {{\n-  "{low}": "",\n+  "{low}": "{value}",\n   "x": 1\n }}',
    "folded YAML": "secrets:\n  {low}: >-\n    {value}\nother: 1\n",
    "YAML in a line": 'env:\n- {{name: {name}, value: "{value}"}}\n- {{name: B, value: c}}\n',
    "here document": "cat <<'EOF' > ~/.config/app.conf\n[default]\n{low} = {value}\nEOF\n",
    "over ssh": "ssh host bash -s <<EOF\nexport {name}={value}\n./run\nEOF",
    "docker -e": "docker run --rm -e {name}={value} -e A=b img:1",
    "docker --env": "docker run --env '{name}={value}' img",
    "docker inspect": '[{{"Config": {{"Env": ["PATH=/bin", "{name}={value}", "A=b"]}}}}]',
    "compose": "services:\n  web:\n    environment:\n      {name}: '{value}'\n      A: b\n",
    "tfvars": '{low} = "{value}"\nregion = "eu"\n',
    "terraform state": '{{"resources": [{{"instances": [{{"attributes": {{"{low}": "{value}", "id": "x"}}}}]}}]}}',
    "terraform plan": '      ~ {low} = "{value}" -> (known after apply)\n',
    "python trace": "Traceback (most recent call last):\n  File \"a.py\", line 3\n    Client({low}='{value}')\nE",
    "node trace": "Error: invalid {name} '{value}'\n    at f (/app/a.js:3:4)",
    "java trace": "java.lang.IllegalStateException: {camel}={value} rejected\n\tat com.host.A.b(A.java:3)",
    "go struct": '&main.Config{{Debug:true, {camel}:"{value}", Port:80}}',
    "python repr": "Config(debug=True, {low}='{value}', port=80)",
    "markdown table": "| Variable | Value |\n|---|---|\n| `{name}` | `{value}` |\n| A | b |\n",
    "markdown list": "- **{name}**: `{value}`\n- **A**: b\n",
    "hidden field": '<input type="hidden" name="{low}" value="{value}">',
    "csv": "name,value,scope\n{name},{value},prod\nA,b,c\n",
    "tsv": "{name}\t{value}\nA\tb\n",
    "SQL insert": "INSERT INTO settings (key, value) VALUES ('{name}', '{value}');",
    "SQL row": " id | key | value\n----+-----+------\n  1 | {name} | {value}\n",
    "curl -d": "curl -d '{{\"{low}\":\"{value}\"}}' https://host.io/a",
    "curl -F": "curl -F {low}={value} https://host.io/a",
    "own header": 'curl -H "X-{dash}: {value}" https://host.io/a',
    "verbose curl": "> authorization: bearer {value}\n> accept: */*",
    "header in JSON": '{{"headers": {{"Authorization": "Bearer {value}", "Accept": "*/*"}}}}',
    "header in Python": "headers = {{'Authorization': 'Bearer {value}'}}",
    "header in JavaScript": "fetch(u, {{headers: {{authorization: `Bearer {value}`}}}})",
    "user's part": "git clone https://{value}@git.host.io/a/b.git",
    "password's part": "git remote set-url origin https://oauth2:{value}@git.host.io/a/b.git",
    "npmrc": "registry=https://r.host.io/\n//r.host.io/:_authToken={value}\n",
    "netrc": "machine r.host.io\nlogin me\npassword {value}\n",
    "pypirc": "[pypi]\nusername = __token__\npassword = {value}\n",
    "kubeconfig": 'users:\n- name: me\n  user:\n    token: "{value}"\n',
    "string data": 'kind: Secret\nstringData:\n  {name}: "{value}"\n',
    "kubectl": "kubectl create secret generic a --from-literal={name}={value}",
    "workflow": '    env:\n      {name}: "{value}"\n    steps:\n',
    "workflow's log": "2026-11-29T12:00:00.1234567Z   {name}: {value}\n2026-11-29T12:00:01.0Z ok",
    "cookie": "Cookie: a=b; {low}={value}; c=d",
    "set": "$ set\nA=b\n{name}='{value}'\nB=c",
    "declare": 'declare -x {name}="{value}"\ndeclare -x B="c"',
    "fish": "set -gx {name} '{value}'",
    "batch": "set {name}={value}\r\nset A=b\r\n",
    "setx": 'setx {name} "{value}"',
    "nix": '  {camel} = "{value}";',
    "rust": 'const {name}: &str = "{value}";',
    "typescript": "export const {camel}: string = '{value}';",
    "java": 'private static final String {name} = "{value}";',
    "ruby": "ENV['{name}'] ||= '{value}'",
    "php": "putenv('{name}={value}');",
    "os.environ": "os.environ['{name}'] = '{value}'",
    "setdefault": 'os.environ.setdefault("{name}", "{value}")',
    "getenv": "os.getenv('{name}', '{value}')",
    "process.env": "process.env.{name} = process.env.{name} || '{value}';",
    "gradle": "systemProp.{camel}={value}\n",
    "java -D": "java -D{dot}={value} -jar a.jar",
    "helm": "helm upgrade a ./c --set env.{name}={value} --wait",
    "make": "make deploy {name}={value}",
    "before a command": "$ {name}={value} python a.py",
    "ps": "root  123  0.0  /usr/bin/app --{opt}={value} --port 80",
    "arguments": '["app", "--{opt}", "{value}", "--x"]',
    "strace": 'execve("/bin/app", ["app"], ["A=b", "{name}={value}"]) = 0',
    "logfmt": 'level=info msg="starting" {low}="{value}" port=80',
    "syslog": "Nov 29 12:00:00 host app[12]: loaded {low}: {value}",
    "question": "Is {value} the right {name}?",
    "equals": "so {name} = {value}, and that is it",
    "parens": 'the {name} ("{value}") does not work',
    "no link": "@bob here is the {name} \u2192 {value}",
    "quotation": "> {name}={value}\n> B=c\n\nthanks",
    "arrow": "12\u2192{name}={value}\n13\u2192B=c",
    "grep": "config/prod.env:12:{name}={value}\nconfig/a.env:1:A=b",
    "notebook": '{{"cells": [{{"source": ["{low} = \'{value}\'\\n", "print(1)"]}}]}}',
    "XML": '<add key="{name}" value="{value}"/>',
    "property list": "<key>{name}</key>\n<string>{value}</string>",
    "android": '<string name="{low}">{value}</string>',
    "properties": "{dot}={value}\n",
    "apache": "SetEnv {name} {value}\n",
    "systemd": "Environment={name}={value}\n",
    "heroku": "=== app Config Vars\n{name}:   {value}\nA:  b\n",
}  # fmt: skip


def list_kinds(mint: Mint) -> dict[str, tuple[str, Callable[[], str]]]:
    """Beside the 15: what other providers give out, by its shape or by its name alone."""
    text, digits = mint.text, mint.digits

    def encode(size: int) -> str:
        return base64.b64encode(mint.draw.randbytes(size)).decode()

    return {
        "twilio": ("TWILIO_AUTH_TOKEN", lambda: text(32, HEX)),
        "twilio secret": ("TWILIO_API_SECRET", lambda: text(32)),
        "sendgrid": ("SENDGRID_API_KEY", lambda: f"SG.{text(22)}.{text(43)}"),
        "azure storage": ("AZURE_STORAGE_KEY", lambda: encode(64)),
        "azure client": ("AZURE_CLIENT_SECRET", lambda: text(3) + "8Q~" + text(34, BASE62 + "~._-")),
        "digitalocean": ("DO_TOKEN", lambda: "dop_v1_" + text(64, HEX)),
        "huggingface": ("HF_TOKEN", lambda: "hf_" + text(34)),
        "slack user": ("SLACK_USER_TOKEN", lambda: f"xoxp-{digits(12)}-{digits(12)}-{digits(12)}-{text(32, HEX)}"),
        "slack app": ("SLACK_APP_TOKEN", lambda: f"xapp-1-A{digits(10)}-{digits(13)}-{text(64, HEX)}"),
        "github fine": ("GH_TOKEN", lambda: f"github_pat_{text(22)}_{text(59)}"),
        "github server": ("GITHUB_TOKEN", lambda: mint.checked("ghs_")),
        "gitlab deploy": ("DEPLOY_TOKEN", lambda: "gldt-" + text(20)),
        "anthropic oauth": ("CLAUDE_CODE_OAUTH_TOKEN", lambda: f"sk-ant-oat01-{text(93, URL)}AA"),
        "openai old": ("OPENAI_API_KEY", lambda: f"sk-{text(20)}T3BlbkFJ{text(20)}"),
        "openrouter": ("OPENROUTER_API_KEY", lambda: "sk-or-v1-" + text(64, HEX)),
        "groq": ("GROQ_API_KEY", lambda: "gsk_" + text(52)),
        "pypi": ("TWINE_PASSWORD", lambda: "pypi-AgEIcHlwaS5vcmc" + text(150, URL)),
        "docker": ("DOCKER_TOKEN", lambda: "dckr_pat_" + text(27, URL)),
        "shopify": ("SHOPIFY_TOKEN", lambda: "shpat_" + text(32, HEX)),
        "cloudflare": ("CLOUDFLARE_API_TOKEN", lambda: text(40)),
        "datadog": ("DD_API_KEY", lambda: text(32, HEX)),
        "heroku": ("HEROKU_API_KEY", lambda: str(uuid.UUID(int=mint.draw.getrandbits(128), version=4))),
        "mailgun": ("MAILGUN_API_KEY", lambda: "key-" + text(32, HEX)),
        "discord": ("DISCORD_TOKEN", lambda: f"M{text(23)}.G{text(5)}.{text(38)}"),
        "telegram": ("TELEGRAM_BOT_TOKEN", lambda: f"{digits(10)}:AA{text(33, URL)}"),
        "linear": ("LINEAR_API_KEY", lambda: "lin_api_" + text(40)),
        "notion": ("NOTION_TOKEN", lambda: "ntn_" + text(46)),
        "new relic": ("NEW_RELIC_API_KEY", lambda: "NRAK-" + text(27, string.ascii_uppercase + string.digits)),
        "vault": ("VAULT_TOKEN", lambda: "hvs." + text(90, URL)),
        "doppler": ("DOPPLER_TOKEN", lambda: "dp.pt." + text(43)),
        "stripe test": ("STRIPE_SECRET", lambda: "sk_test_" + text(99)),
        "stripe hook": ("STRIPE_WEBHOOK_SECRET", lambda: "whsec_" + text(32)),
        "aws session": ("AWS_SESSION_TOKEN", lambda: "IQoJb3JpZ2luX2VjE" + encode(200)),
        "aws temporary": ("AWS_ACCESS_KEY_ID", lambda: "ASIA" + text(16, string.ascii_uppercase + "234567")),
        "google oauth": ("GOOGLE_OAUTH_TOKEN", lambda: "ya29.a0" + text(120)),
        "google client": ("GOOGLE_CLIENT_SECRET", lambda: "GOCSPX-" + text(28, URL)),
        "rails": ("SECRET_KEY_BASE", lambda: text(128, HEX)),
        "fernet": ("FERNET_KEY", lambda: base64.urlsafe_b64encode(mint.draw.randbytes(32)).decode()),
        "supabase": ("SUPABASE_SERVICE_KEY", mint.jwt),
        "lower": ("DB_PASSWORD", lambda: text(5, string.ascii_lowercase) + digits(2) + text(5, "abcdef") + digits(2)),
        **{kind: (name, make) for kind, (name, make) in mint.kinds.items() if kind not in ("rsa", "ssh")},
        "encoded": ("DB_PASSWORD", lambda: quote(f"{text(6)}{digits(2)}@/{text(6)}:{digits(2)}", safe="")),
    }


def plant(seed: int) -> Iterator[Planted]:
    """Each kind in each notation, a new value each time."""
    mint = Mint(seed)
    for kind, (name, make) in list_kinds(mint).items():
        words = name.split("_")
        names = {
            "name": name,
            "low": name.lower(),
            "camel": words[0].lower() + "".join(map(str.title, words[1:])),
            "dash": "-".join(map(str.title, words)),
            "opt": "-".join(words).lower(),
            "dot": ".".join(words).lower(),
        }
        for notation, template in NOTATIONS.items():
            value = make()
            text = template.format(value=value, **names)
            line = json.dumps({"role": "user", "content": [{"type": "tool_result", "content": text}]}).encode()
            yield Planted(kind, notation, value, line)


def test_secrets_of_other_kinds_are_gone_from_other_notations() -> None:
    seed = random.randrange(2**32)
    kinds, notations, count = Counter[str](), Counter[str](), 0
    for each in plant(seed):
        after = REDACTION(each.line)
        assert REDACTION(after) == after, (seed, each.kind, each.surrounding)
        count += 1
        if not each.is_gone_from(json.dumps(json.loads(after), ensure_ascii=False)):
            kinds[each.kind] += 1
            notations[each.surrounding] += 1
    assert count == len(list_kinds(Mint(0))) * len(NOTATIONS)
    assert kinds.total() <= (1 - LEAST_SHARE) * count, (seed, kinds, notations)
    most = len(list_kinds(Mint(0))) // 4
    assert all(number <= most for each, number in notations.items() if each not in KNOWN_TO_STAY), (seed, notations)
    assert all(number <= len(NOTATIONS) // 4 for number in kinds.values()), (seed, kinds)


def draw_hash(length: int) -> str:
    return "".join(random.choices(HEX, k=length))


def draw_base64(size: int) -> str:
    return base64.b64encode(random.randbytes(size)).decode()


@pytest.mark.parametrize(
    "make",
    [
        lambda: f'"node_modules/token": {{"resolved": "https://r.io/a.tgz", "integrity": "sha512-{draw_base64(64)}"}}',
        lambda: f"github.com/host/secret v1.2.3/go.mod h1:{draw_base64(32)}",
        lambda: f'name = "keyring"\nchecksum = "{draw_hash(64)}"',
        lambda: f"jsonwebtoken==1.2 \\\n    --hash=sha256:{draw_hash(64)}",
        lambda: f"commit {draw_hash(40)}\n\n    Fix the key of a token\n\nindex {draw_hash(7)}..{draw_hash(7)} 100644",
        lambda: f'"token_id": "{uuid.uuid4()}", "objectKey": "{uuid.uuid4()}", "primary_key": "{uuid.uuid4()}"',
        lambda: f"![key](data:image/png;base64,{draw_base64(900)})",
        lambda: f"  auth.{draw_hash(20)}.chunk.js   12 KiB  [emitted]",
        lambda: f'expect(hash(key)).toBe("{draw_hash(64)}")\nassertEquals("{draw_hash(32)}", md5(token));',
        lambda: f'aws_kms_key.main: Refreshing state... [id={uuid.uuid4()}]\n  key_id = "{uuid.uuid4()}"',
        lambda: f"  uid: {uuid.uuid4()}\n  secretName: default-token-{draw_hash(5)}",
        lambda: f"host.io ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI{draw_base64(32)[:43]}",
        lambda: f"-----BEGIN CERTIFICATE-----\n{draw_base64(700)}\n-----END CERTIFICATE-----",
        lambda: f"traceparent: 00-{draw_hash(32)}-{draw_hash(16)}-01\nx-amz-id-2: {draw_base64(57)}",
        lambda: 'function a(e,t){var n=e.token||e.password;return n?this.auth(n):0}b={apiKey:e.k,keyCode:13};',
        lambda: 'const TOKEN_2: string = `${prefix}_2`;\npub const API_KEY: &str = env!("K1");',
    ],
)  # fmt: skip
def test_hashes_ids_lock_files_images_and_minified_code_are_no_secrets(make: Callable[[], str]) -> None:
    for _ in range(20):
        line = json.dumps({"content": make()}).encode()
        assert REDACTION(line) is line
