"""Migrations by a command in an image, as part of releases: a real psql on a real PostgreSQL, failures, kills, aborts."""
import json
import pathlib
import shutil
import signal
import subprocess
import threading

import pytest

from host import wait_for
from postgres import Postgres, binaries

DEFINITION = """
version: 1
project: shop
images:
  app: {{ build: . }}
services:
  web:
    image: app
    port: 8080
    environment: {{ REVISION: {revision} }}
    health: {{ ready: {{ http: /healthz, timeout: 500ms, deadline: 3s }} }}
    rollout: {{ keep_old: 1m, drain: 1s }}
endpoints:
  db: {{ url: "postgres://shop@127.0.0.1:{port}/shop" }}
{secrets}
migrations:
  shop: {{ endpoint: db, image: app, run: {command}{secret} }}
routes:
  - {{ listen: "127.0.0.1:@PORT@", to: web }}
"""


def define(host, revision, command, port=5432, secret="", dockerfile=None):
    host.define(DEFINITION.format(revision=revision, command=json.dumps(command), port=port,
                                  secret=f", secret: {secret}" if secret else "",
                                  secrets=f"secrets: {{ {secret}: {{ file: {secret} }} }}" if secret else ""),
                dockerfile=dockerfile)


def job(*words):
    return ["/app", "job", *words]


def runs(host):
    return host.ok("job", "ls", "migrate-shop", "--json").json()["runs"]


@pytest.mark.skipif(binaries() is None, reason="SKIP: postgresql is not installed")
def test_a_tool_of_its_own_migrates_before_the_first_instance(host):
    psql = binaries() / "psql"
    libraries = [word for word in subprocess.run(["ldd", str(psql)], capture_output=True, text=True, check=True).stdout.split()
                 if word.startswith("/")]
    for file in [str(psql), *libraries]:
        target = host.project / "psql" / file.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(pathlib.Path(file).resolve(), target)
    database = Postgres()
    try:
        (host.project / "pass").write_text(f"*:*:*:shop:{database.PASSWORD}\n")

        def release(revision, sql):
            target = f"host=db port={database.port} user=shop dbname=shop passfile=/run/secrets/pass"
            define(host, revision, [str(psql), "-v", "ON_ERROR_STOP=1", "-d", target, "-c", sql], port=database.port,
                   secret="pass", dockerfile="FROM scratch\nCOPY psql /\nCOPY app /app\nUSER 1000:1000\nCMD [\"/app\"]\n")
            (host.project / ".dockerignore").write_text("*\n!app\n!psql\n")

        host.start()
        release("one", "CREATE TABLE IF NOT EXISTS seen (n int); INSERT INTO seen VALUES (1)")
        plan = host.ok("plan").out
        assert "migrate shop: runs" in plan and "INSERT INTO seen" in plan, plan
        done = host.apply()
        assert done["rollout"]["entered"].keys() >= {"migrating", "starting"}, done
        assert database.sql("SELECT count(*) FROM seen") == ["1"]
        # The same again is no release, and runs nothing; a rollback runs none either.
        host.apply()
        release("two", "INSERT INTO seen VALUES (2)")
        host.apply()
        host.ok("rollback")
        assert database.sql("SELECT n FROM seen ORDER BY n") == ["1", "2"]
        # What the database refuses reverts the release before anything of it has started.
        release("three", "SELECT 1/0")
        failed = host.run("apply", "--yes")
        assert failed.code == 5 and "migrate-shop: run 3 failed" in failed.out + failed.err, failed
        assert "division by zero" in host.ok("job", "logs", "3").err
        assert host.get()[1] == "one"
    finally:
        database.close()


def test_a_command_that_fails_reverts_before_anything_starts(host):
    host.start()
    define(host, "one", job("print=done"))
    host.apply()
    define(host, "two", job("print=no column", "exit=3"))
    done = host.run("apply", "--yes")
    assert done.code == 5, done
    assert "exit code 3" in done.out + done.err and "ingot job logs 2" in done.out + done.err, done
    assert "no column" in host.ok("job", "logs", "2").out
    assert host.get()[1] == "one"
    last = host.ok("rollout", "status", "--json").json()["last"]
    assert last["phase"] == "reverted" and "starting" not in last["entered"], last
    # Mended, it goes through.
    define(host, "two", job("exit=0"))
    host.apply()
    assert host.get()[1] == "two"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_daemon_that_ended_finds_its_run_again(host, number):
    host.start()
    define(host, "one", job("print=begun", "sleep=3000", "print=ended"))
    applying = threading.Thread(target=lambda: host.run("apply", "--yes"), daemon=True)
    applying.start()
    wait_for("a run", lambda: "begun" in host.run("job", "logs", "1").out)
    host.kill_daemon(number)
    applying.join(timeout=60)
    host.start()
    wait_for("r1 serves", lambda: host.get()[1] == "one", seconds=30)
    found = runs(host)
    assert [(run["run"], run["outcome"], run["attempts"], run["rollout"]) for run in found] == [(1, "succeeded", 1, 1)]
    assert [line.split()[-1] for line in host.ok("job", "logs", "1").out.splitlines()] == ["begun", "ended"]


def test_an_aborted_release_ends_its_command(host):
    host.start()
    define(host, "one", job("exit=0"))
    host.apply()
    define(host, "two", job("print=begun", "sleep=600000"))
    host.ok("apply", "--yes", "--detach")
    wait_for("a run", lambda: "begun" in host.run("job", "logs", "2").out)
    host.ok("rollout", "abort")
    wait_for("the run is over", lambda: runs(host)[0]["outcome"] == "cancelled")
    wait_for("it is over", lambda: host.status()["rollout"] is None)
    assert host.get()[1] == "one"
    # By hand it is a job as any other, and the verbs for scripts name it.
    define(host, "three", job("print=by hand"))
    host.apply()
    for verb in ("status", "run"):
        assert "ingot job run migrate-shop" in host.ok("migrate", verb).out
    assert host.ok("migrate", "status", "--json").json()["commands"] == [{"name": "shop", "job": "migrate-shop"}]
    assert "by hand" in host.ok("job", "run", "migrate-shop").out + host.ok("job", "logs", str(runs(host)[0]["run"])).out


@pytest.mark.parametrize("line, words", [
    ("shop: { endpoint: db, run: [/app] }", "expected image beside run"),
    ("shop: { endpoint: db, image: app, scripts: migrations }", "image beside run only"),
    ("shop: { endpoint: file, image: app, run: [/app] }", "has no file of the host"),
    ("a-name-that-is-longer-than-thirty-two: { endpoint: db, image: app, run: [/app] }", "the name is too long"),
    ("job: { endpoint: db, image: app, run: [/app] }", "there is a job of this name"),
])
def test_what_cannot_be_is_refused_with_its_place(host, line, words):
    host.one_service()
    text = (host.project / "ingot.yaml").read_text()
    (host.project / "ingot.yaml").write_text(text + f"""
endpoints: {{ db: {{ url: "postgres://db/shop" }}, file: {{ url: "sqlite:///var/lib/shop.db" }} }}
jobs: {{ migrate-job: {{ image: app }} }}
migrations: {{ {line} }}
""")
    done = host.run("validate")
    assert done.code == 2 and words in done.err and "ingot.yaml:" in done.err, done
