"""How tools, protocols and files of settings take credentials: a template of each form, and what makes its secret."""

import base64
import random
import string
from collections.abc import Callable
from urllib.parse import quote

BASE62 = string.ascii_letters + string.digits


def draw_password(draw: random.Random) -> str:
    """Of one of the shapes that generators and people make; letters and digits in each."""
    shapes: list[tuple[str, int]] = [
        (BASE62, 12),
        (BASE62, 20),
        (string.digits + "abcdef", 32),
        (BASE62 + "!#%^*+-_", 16),
    ]
    letters, length = draw.choice(shapes)
    while True:
        found = "".join(draw.choices(letters, k=length))
        if found[0].isalpha() and sum(map(str.isdigit, found)) >= 2 and found[-1].isalnum():
            return found


def _encode(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _text(length: int, letters: str = BASE62) -> Callable[[random.Random], str]:
    return lambda draw: "".join(draw.choices(letters, k=length))


def _bytes(length: int) -> Callable[[random.Random], str]:
    return lambda draw: base64.b64encode(draw.randbytes(length)).decode()


PASSWORDS = {
    "mysql -p": "mysql -h db.internal -u root -p{} app < dump.sql",
    "mysql -p quoted": "mysql -uroot -p'{}' -e 'select 1'",
    "mysqldump": "mysqldump --user=app --password={} app > dump.sql",
    "mariadb": "mariadb -u app -p{} app",
    "mysqladmin": "mysqladmin -u root -p{} status",
    "sshpass": "sshpass -p {} ssh root@10.0.0.5 uptime",
    "sshpass quoted": "sshpass -p '{}' scp a root@host:/tmp",
    "sshpass glued": "sshpass -p{} ssh root@host",
    "SQL identified by": "CREATE USER 'app'@'%' IDENTIFIED BY '{}';",
    "SQL identified with": "ALTER USER 'root'@'localhost' IDENTIFIED WITH mysql_native_password BY '{}';",
    "SQL password": "CREATE ROLE app LOGIN PASSWORD '{}';",
    "SQL encrypted password": "ALTER USER app WITH ENCRYPTED PASSWORD '{}';",
    "SQL login": "CREATE LOGIN app WITH PASSWORD = N'{}';",
    "netrc line": "machine api.host.io login deploy password {}",
    "netrc lines": "machine git.host.io\n  login deploy\n  password {}\n",
    "curl -u": "curl -s -u deploy:{} https://host.io/api",
    "curl -u quoted": "curl -u 'deploy:{}' -X POST https://host.io/api",
    "curl --user": 'curl --user "deploy:{}" https://host.io',
    "curl glued": "curl -udeploy:{} https://host.io",
    "wget": "wget --http-user=me --http-password={} https://host.io/x",
    "http -a": "http -a deploy:{} GET host.io/api",
    "docker login": "docker login -u deploy -p {} registry.host.io",
    "docker login long": "docker login --username deploy --password {} registry.host.io",
    "podman login": "podman login -u deploy -p '{}' quay.io",
    "helm": "helm registry login -u deploy -p {} host.io",
    "standard input": "echo '{}' | docker login -u deploy --password-stdin host.io",
    "PGPASSWORD": "PGPASSWORD={} psql -h db -U app",
    "PGPASSWORD quoted": "PGPASSWORD='{}' pg_dump -h db app",
    "MYSQL_PWD": "MYSQL_PWD={} mysql app",
    "psql conninfo": "psql 'host=db user=app password={} dbname=app'",
    "redis-cli -a": "redis-cli -h cache -a {} ping",
    "redis-cli -a quoted": "redis-cli -a '{}' --no-auth-warning info",
    "requirepass": "requirepass {}",
    "redis AUTH": "redis 10.0.0.5:6379> AUTH {}",
    "ldapsearch": "ldapsearch -x -D cn=admin,dc=host -w {} -b dc=host",
    "smbclient": "smbclient //host/share -U 'deploy%{}'",
    "htpasswd": "htpasswd -b /etc/nginx/.htpasswd deploy {}",
    "openssl pass": "openssl rsa -in key.pem -passin pass:{} -out plain.pem",
    "openssl k": "openssl enc -d -aes-256-cbc -in a.enc -k {}",
    "gpg": "gpg --batch --passphrase {} -d a.gpg",
    "zip": "zip -P {} out.zip a",
    "unzip": "unzip -P {} out.zip",
    "7z": "7z x -p{} out.7z",
    "mosquitto": "mosquitto_pub -h mq -u deploy -P {} -t a -m b",
    "az login": "az login --service-principal -u app -p {} --tenant t",
    "ansible": "host1 ansible_user=deploy ansible_ssh_pass={}",
    "ansible become": "ansible_become_pass: '{}'",
    "kubectl literal": "kubectl create secret generic db --from-literal=password={}",
    "kubectl docker": "kubectl create secret docker-registry r --docker-username=me --docker-password={}",
    "chpasswd": "echo 'deploy:{}' | chpasswd",
    "xfreerdp": "xfreerdp /u:deploy /p:{} /v:host",
    "net use": "net use Z: \\\\host\\share {} /user:deploy",
    "sqlcmd": "sqlcmd -S db -U sa -P {} -Q 'select 1'",
    "mongo": "mongosh --host db -u app -p {} --authenticationDatabase admin",
    "snmp": "snmpwalk -v3 -u me -A {} -l authNoPriv host",
    "rsync": "RSYNC_PASSWORD={} rsync -a a me@host::m",
    "nmcli": "nmcli dev wifi connect home password {}",
    "wpa": 'network={{\n  ssid="home"\n  psk="{}"\n}}',
    "postgres url": "postgres://app:{}@db.internal:5432/app",
    "redis url": "redis://:{}@cache:6379/0",
    "mongodb url": "mongodb+srv://app:{}@c0.host.io/app?retryWrites=true",
    "amqp url": "amqp://app:{}@mq:5672//",
    "git url": "git clone https://deploy:{}@git.host.io/a/b.git",
    "smtp url": "smtps://me%40host.io:{}@smtp.host.io:465",
    "sqlalchemy": "create_engine('mysql+pymysql://app:{}@db/app')",
    "jdbc": "jdbc:mysql://db:3306/app?user=app&password={}&useSSL=true",
    "jdbc sqlserver": "jdbc:sqlserver://db:1433;databaseName=app;user=sa;password={};encrypt=true",
    "ado": "Server=tcp:db,1433;Database=app;User ID=sa;Password={};Encrypt=True;",
    "ado pwd": "Driver={{ODBC Driver 18}};Server=db;Uid=sa;Pwd={};",
    "pgpass": "db.internal:5432:app:deploy:{}",
    "ini": "[database]\nuser = app\npassword = {}\n",
    "properties": "spring.datasource.username=app\nspring.datasource.password={}\n",
    "toml": "[database]\nuser = \"app\"\npassword = \"{}\"\n",
    "yaml": "database:\n  user: app\n  password: {}\n",
    "yaml quoted": "database:\n  passwd: '{}'\n",
    "yaml block": "data:\n  password: |\n    {}\n",
    "dotenv": "APP_ENV=prod\nDB_PASS={}\nPORT=80\n",
    "dotenv quoted": "SMTP_PASSWORD=\"{}\"\n",
    "docker ENV": "ENV ADMIN_PASSWORD {}",
    "compose": "    environment:\n      - POSTGRES_PASSWORD={}\n",
    "systemd": 'Environment="ADMIN_PASSWORD={}"',
    "json": '{{"user": "app", "password": "{}"}}',
    "json pwd": '{{"pwd":"{}","n":1}}',
    "single quotes": "{{'username': 'app', 'password': '{}'}}",
    "form": "POST /login HTTP/1.1\r\nHost: host.io\r\nContent-Length: 40\r\n\r\nusername=app&password={}",
    "multipart": 'Content-Disposition: form-data; name="password"\r\n\r\n{}\r\n--x--',
    "php define": "define('DB_PASSWORD', '{}');",
    "php array": "'password' => '{}',",
    "java": 'String password = "{}";',
    "java call": 'DriverManager.getConnection(url, "app", "{}");  // password',
    "python argument": "connect(host='db', user='app', password='{}')",
    "python tuple": "requests.get(url, auth=('deploy', '{}'))",
    "javascript": "const client = new Client({{ user: 'app', password: `{}` }});",
    "go": 'Password: "{}",',
    "csharp": 'var dbPassword = "{}";',
    "terraform": 'variable "db_password" {{\n  default = "{}"\n}}',
    "powershell": '$p = ConvertTo-SecureString "{}" -AsPlainText -Force',
    "xml attribute": '<add key="DbPassword" value="{}" />',
    "xml": "<password>{}</password>",
    "prompt": "Enter password: {}",
    "prose": "the password for the staging box is {} by the way",
    "prose colon": "login: deploy / pw: {}",
    "cookie": "Cookie: theme=dark; session={}; lang=en",
    "set-cookie": "Set-Cookie: sessionid={}; Path=/; HttpOnly",
    "set-cookie lower": "< set-cookie: connect.sid=s%3A{}; Path=/",
    "curl cookie": "curl -b 'session={}' https://host.io",
    "curl cookie header": "curl -H 'Cookie: auth_session={}' https://host.io",
    "curl --cookie": 'curl --cookie "PHPSESSID={}; a=b" https://host.io',
    "js cookie": 'document.cookie = "session_token={}"',
    "bearer": "Authorization: Bearer {}",
    "token scheme": "Authorization: token {}",
    "api key header": "X-Api-Key: {}",
    "apikey query": "GET /v1/data?api_key={}&format=json",
    "access_token query": "https://host.io/cb#access_token={}&token_type=bearer",
    "client secret": "client_id=app&client_secret={}&grant_type=client_credentials",
    "auth header curl": "curl -H 'X-Auth-Token: {}' https://host.io",
    "private token": "curl --header 'PRIVATE-TOKEN: {}' https://git.host.io/api",
    "npmrc": "//registry.host.io/:_authToken={}",
    "otp": "otpauth://totp/a?secret={}&issuer=b",
    "vault": "vault kv put secret/db password={}",
    "aws configure": "aws configure set aws_secret_access_key {}",
    "gh secret": "gh secret set DEPLOY_TOKEN --body '{}'",
    "git config": "git config --global github.token {}",
    "heroku": "heroku config:set API_SECRET={}",
    "set -x": "+ export ADMIN_TOKEN={}",
    "env dump": "SHELL=/bin/sh\nADMIN_SECRET={}\nHOME=/root",
}  # fmt: skip

MADE: dict[str, tuple[str, Callable[[random.Random], str]]] = {
    "azure storage": (
        "DefaultEndpointsProtocol=https;AccountName=a;AccountKey={};EndpointSuffix=core.windows.net",
        _bytes(64),
    ),
    "azure bus": ("Endpoint=sb://a.servicebus.windows.net/;SharedAccessKeyName=Root;SharedAccessKey={}", _bytes(32)),
    "azure sas": (
        "https://a.blob.core.windows.net/c/b?sv=2022-11-02&sp=r&sig={}",
        lambda d: quote(_bytes(32)(d), safe=""),
    ),
    "azure cli": ("az storage blob list --account-name a --account-key {}", _bytes(64)),
    "cosmos": ("AccountEndpoint=https://a.documents.azure.com:443/;AccountKey={};", _bytes(64)),
    "basic": ("Authorization: Basic {}", lambda d: _encode("deploy:" + draw_password(d))),
    "basic curl": ("curl -H 'Authorization: Basic {}' https://host.io", lambda d: _encode("a:" + draw_password(d))),
    "proxy basic": ("Proxy-Authorization: Basic {}", lambda d: _encode("deploy:" + draw_password(d))),
    "npm _auth": ("//registry.host.io/:_auth={}", lambda d: _encode("deploy:" + draw_password(d))),
    "npm _password": ("//registry.host.io/:_password={}", lambda d: _encode(draw_password(d))),
    "docker config": (
        '{{"auths": {{"https://index.docker.io/v1/": {{"auth": "{}"}}}}}}',
        lambda d: _encode("me:" + draw_password(d)),
    ),
    "k8s yaml": (
        "apiVersion: v1\nkind: Secret\nmetadata:\n  name: db\ndata:\n  db-password: {}\ntype: Opaque",
        lambda d: _encode(draw_password(d)),
    ),
    "k8s any key": (
        "apiVersion: v1\nkind: Secret\ndata:\n  DSN: {}\n  note: {{}}\n",
        lambda d: _encode("u:" + draw_password(d)),
    ),
    "k8s json": ('{{"apiVersion":"v1","kind":"Secret","data":{{"admin":"{}"}}}}', lambda d: _encode(draw_password(d))),
    "k8s dockerconfig": (
        "kind: Secret\ndata:\n  .dockerconfigjson: {}",
        lambda d: _encode('{"auths":{"h":{"auth":"' + _encode("me:" + draw_password(d)) + '"}}}'),
    ),
    "url encoded": (
        "postgres://app:{}@db.internal/app",
        lambda d: quote(_text(8)(d) + "@/" + _text(8)(d) + ":?#1", safe=""),
    ),
    "url encoded mysql": (
        "mysql+pymysql://app:{}@db/app",
        lambda d: quote(_text(6)(d) + "$&" + _text(8)(d) + "%9", safe=""),
    ),
    "telegram": (
        "https://api.telegram.org/bot{}/getMe",
        lambda d: _text(10, "123456789")(d) + ":AA" + _text(33, BASE62 + "-_")(d),
    ),
    "slack hook": (
        "https://hooks.slack.com/services/{}",
        lambda d: f"T{_text(10, string.ascii_uppercase)(d)}/B{_text(10, string.ascii_uppercase)(d)}/{_text(24)(d)}",
    ),
    "huggingface": ("huggingface-cli login --token {}", lambda d: "hf_" + _text(34, string.ascii_letters)(d)),
    "age": ("# public key: age1\n{}", lambda d: "AGE-SECRET-KEY-1" + _text(58, "QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L")(d)),
    "aws session": ("aws_session_token = {}", lambda d: "IQoJb3JpZ2luX2Vj" + _bytes(200)(d)),
    "google oauth": ("Authorization: Bearer {}", lambda d: "ya29." + _text(100, BASE62 + "-_")(d)),
    "aws pair": (
        "[default]\naws_access_key_id = AKIAABCDEFGHIJKLMNOP\naws_secret_access_key = {}",
        _text(40, BASE62 + "+/"),
    ),
    "django": ("SECRET_KEY = 'django-insecure-{}'", _text(50, BASE62 + "!@#$%^&*(-_=+)")),
}
