"""The encrypted store of secrets: rotation as a rollout, who needs what, and nothing of a value anywhere."""
import grp
import hashlib
import json
import os
import pty
import pwd
import shutil
import signal
import subprocess

import pytest

from host import INGOT, wait_for

# No text that could be anywhere by chance.
FIRST = "vK3-first-value-9f1c"
SECOND = "vK3-second-value-77ab"


def definition(source="{ from: store }", note="one"):
    return f"""
version: 1
project: shop
images: {{ app: {{ build: . }} }}
secrets: {{ token: {source} }}
services:
  web:
    image: app
    replicas: 2
    port: 8080
    secrets: [token]
    environment: {{ NOTE: {note} }}
    health: {{ ready: {{ http: /healthz, timeout: 500ms, deadline: 5s }} }}
    rollout: {{ keep_old: 0s, drain: 2s }}
  other:
    image: app
    port: 8080
    health: {{ ready: {{ http: /healthz, timeout: 500ms, deadline: 5s }} }}
    rollout: {{ keep_old: 0s, drain: 2s }}
routes:
  - {{ listen: "127.0.0.1:@PORT@", to: web }}
"""


def put(host, value, *args, name="token"):
    done = subprocess.run([str(INGOT), "secret", "set", name, "--json", *args], input=value.encode(), cwd=host.project,
                          env={**os.environ, "INGOT_ROOT": str(host.root)}, capture_output=True, timeout=60)
    assert done.returncode == 0, done
    assert done.stderr == b""
    return json.loads(done.stdout)["version"]


def versions(host, name="token"):
    for secret in host.ok("secret", "ls", "--json").json()["secrets"]:
        if secret["name"] == name:
            return secret["versions"]
    return []


def seen(host):
    """What an instance has."""
    return host.get("/read?/run/secrets/token")[2].strip()


def events(host, *args):
    return [json.loads(line) for line in host.ok("events", "--json", *args).out.splitlines()]


def assert_nowhere(host, value):
    """In no file of the root (its logs, journal and databases among them), and in no log of the daemon."""
    for where in (host.root, host.base / "daemon.log"):
        found = subprocess.run(["grep", "-rla", "-D", "skip", "--exclude-dir=ns", "--exclude-dir=pin", value, str(where)], capture_output=True, text=True)
        assert found.stdout == "", found.stdout
        assert found.returncode == 1, found.stderr


def test_a_rotation_is_a_rollout_of_those_who_use_it_and_nobody_waits(served):
    host = served
    host.define(definition())
    missing = host.run("apply", "--yes", "--json")
    assert missing.code == 1
    assert missing.json()["error"]["code"] == "not_found"
    assert "`ingot secret set token -e local`" in missing.json()["error"]["message"]
    one = put(host, FIRST)
    host.apply()
    assert seen(host) == FIRST
    others = [i["name"] for i in host.instances("other")]
    # Nothing that runs changes by being set.
    two = put(host, SECOND)
    assert one != two
    assert seen(host) == FIRST
    plan = host.ok("plan")
    assert f"secrets.token: {one} → {two}" in plan.out
    with host.load() as load:
        host.apply()
    assert load.result["failed"] == 0, load.result
    assert load.result["requests"] > 0
    assert seen(host) == SECOND
    assert [i["name"] for i in host.instances("other")] == others
    with host.load() as load:
        host.ok("rollback", "--json")
    assert load.result["failed"] == 0, load.result
    assert seen(host) == FIRST
    assert host.status()["active"] == 1
    host.apply()
    # The same value again is the same version: nothing to do.
    assert put(host, SECOND) == two
    assert host.ok("plan", "--json").json()["nothing_to_do"] is True
    listed = versions(host)
    assert [(v["version"], v["active"], bool(v["revisions"])) for v in listed] == [(two, True, True), (one, False, True)], listed
    assert {v["by"] for v in listed} == {"root"}
    said = [(e["detail"]["secret"], e["detail"]["version"]) for e in events(host) if e["kind"] == "secret.set"]
    assert said == [("token", one), ("token", two)]
    for value in (FIRST, SECOND):
        assert_nowhere(host, value)
        for shown in (plan.out, host.ok("secret", "ls").out, host.ok("history", "--json").out, host.ok("events", "--host").out,
                      host.ok("logs", "--all").out):
            assert value not in shown


def test_what_a_revision_needs_is_not_removed_and_what_nothing_needs_is(host):
    host.define(definition())
    host.start(env={"INGOT_GC_INTERVAL": "1s"})
    one = put(host, FIRST)
    host.apply()
    two = put(host, SECOND)
    host.apply()
    refused = host.run("secret", "rm", "token", "--version", one)
    assert refused.code == 4
    assert f"version {one} of the secret token is needed by r1 of shop/local" in refused.err
    refused = host.run("secret", "rm", "token")
    assert refused.code == 4
    assert "which serves" in refused.err
    wait_for("r1 is not warm", lambda: "revision.retired" in [e["kind"] for e in events(host)])
    # Two that no revision ever named: the older goes by itself, the newest is what an apply would take.
    three = put(host, "three")
    four = put(host, "four")
    wait_for("the version that nothing needs goes", lambda: three not in [v["version"] for v in versions(host)])
    assert [v["version"] for v in versions(host)] == [four, two, one]
    assert [(e["actor"], e["detail"]["version"]) for e in events(host) if e["kind"] == "secret.removed"] == [("ingot", three)]
    assert host.ok("secret", "rm", "token", "--version", four, "--json").json() == \
        {"name": "token", "removed": [four], "revisions": []}
    assert host.ok("secret", "rm", "token", "--version", one, "--force", "--json").json()["revisions"] == [1]
    # Going back finds no value, says so, and what serves goes on serving.
    back = host.run("rollback", "--json")
    assert back.code != 0
    assert seen(host) == SECOND
    gone = host.run("secret", "rm", "token", "--version", one)
    assert gone.code == 1
    assert "has no version" in gone.err
    assert host.run("secret", "rm", "nothing").code == 1


def test_what_was_kept_as_plain_files_is_sealed_at_the_start(host):
    """As former versions kept them."""
    names = os.urandom(32)

    def version_of(value):
        inner = hashlib.sha256(names + value.encode()).hexdigest().encode()
        return hashlib.sha256(names + inner).hexdigest()[:16]

    folder = host.root / "secrets" / "shop" / "local" / "token"
    folder.mkdir(parents=True)
    (host.root / "secrets" / "key").write_bytes(names)
    for age, value in ((20, FIRST), (10, SECOND)):
        file = folder / version_of(value)
        file.write_text(value)
        os.utime(file, (file.stat().st_mtime - age,) * 2)
    host.define(definition())
    host.start()
    assert not (host.root / "secrets" / "key").exists()
    assert sorted(os.listdir(folder)) == sorted(version_of(value) + ".sealed" for value in (FIRST, SECOND))
    assert_nowhere(host, FIRST)
    assert [v["version"] for v in versions(host)] == [version_of(SECOND), version_of(FIRST)]
    host.apply()
    assert seen(host) == SECOND
    # What a plan said of it before says it still.
    assert put(host, FIRST) == version_of(FIRST)


def test_damage_and_another_key_are_said_and_never_served(served):
    host = served
    (host.project / "value").write_text(FIRST)
    host.define(definition("{ file: value }"))
    host.apply()
    version = versions(host)[0]["version"]
    folder = host.root / "secrets" / "shop" / "local" / "token"
    sealed = folder / f"{version}.sealed"
    whole = sealed.read_bytes()
    assert FIRST.encode() not in whole
    sealed.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert "do not open" in versions(host)[0]["problem"]
    for instance in host.instances("web"):
        os.kill(instance["pid"], signal.SIGKILL)
    wait_for("it is said", lambda: any("do not open" in json.dumps(e) for e in events(host)))
    assert host.get()[0] != 200
    # Applied again, the value is handed over again.
    assert host.run("apply", "--yes", "--json").code == 0
    wait_for("it serves again", lambda: seen(host) == FIRST)
    host.kill_daemon()
    key = host.root / "secrets.key"
    assert key.stat().st_mode & 0o777 == 0o600
    lost = key.read_bytes()
    key.write_text("1" * 64 + "\n")
    wrong = host.run("serve")
    assert wrong.code == 1
    assert "do not open with the key" in wrong.err
    key.unlink()
    assert "bring it back" in host.run("serve").err
    key.write_bytes(lost)
    key.chmod(0o600)
    host.start()
    assert seen(host) == FIRST


def test_the_key_is_rotated_while_everything_serves_and_may_be_a_credential(served):
    host = served
    host.define(definition())
    put(host, FIRST)
    host.apply()
    before = (host.root / "secrets.key").read_text()
    with host.load() as load:
        rotated = host.ok("secret", "rotate-key", "--json").json()
    assert load.result["failed"] == 0, load.result
    assert rotated["sealed"] == 2
    assert before.strip() not in (host.root / "secrets.key").read_text()
    assert [e["detail"]["key"] for e in events(host, "--host") if e["kind"] == "secret.key_rotated"] == [rotated["key"]]
    # From here on the key is the unit's.
    host.kill_daemon()
    credentials = host.base / "credentials"
    credentials.mkdir()
    new = os.urandom(32).hex()
    given = credentials / "ingot-secrets"
    given.write_text(new + "\n" + (host.root / "secrets.key").read_text())
    given.chmod(0o400)
    (host.root / "secrets.key").unlink()
    host.start(env={"CREDENTIALS_DIRECTORY": str(credentials)})
    assert "the others can be removed" in (host.base / "daemon.log").read_text()
    refused = host.run("secret", "rotate-key", "--json")
    assert refused.code == 4
    host.kill_daemon()
    given.chmod(0o600)
    given.write_text(new + "\n")
    host.start(env={"CREDENTIALS_DIRECTORY": str(credentials)})
    for instance in host.instances("web"):
        os.kill(instance["pid"], signal.SIGKILL)
    wait_for("new ones have the value", lambda: seen(host) == FIRST)
    assert not (host.root / "secrets.key").exists()
    host.destroy()
    host.daemon = None  # one without the credential would not start


def test_a_terminal_is_asked_and_shows_nothing(served):
    host = served
    host.define(definition())
    main, terminal = pty.openpty()
    process = subprocess.Popen([str(INGOT), "secret", "set", "token"], cwd=host.project, stdin=terminal, stdout=terminal,
                               stderr=terminal, env={**os.environ, "INGOT_ROOT": str(host.root), "NO_COLOR": "1"})
    os.close(terminal)
    shown = b""
    while b"value of token: " not in shown:
        shown += os.read(main, 1000)
    os.write(main, FIRST.encode() + b"\n")
    try:
        while piece := os.read(main, 1000):
            shown += piece
    except OSError:  # the other end is closed
        pass
    os.close(main)
    assert process.wait(timeout=30) == 0
    assert FIRST.encode() not in shown
    host.apply()
    assert seen(host) == FIRST
    # Nothing is no value.
    empty = subprocess.run([str(INGOT), "secret", "set", "token"], cwd=host.project, stdin=subprocess.DEVNULL,
                           env={**os.environ, "INGOT_ROOT": str(host.root)}, capture_output=True, text=True)
    assert empty.returncode == 2
    assert "the value is empty" in empty.stderr


def test_who_is_not_root_sets_and_removes_what_his_role_may(host):
    group = grp.getgrgid(100).gr_name
    config = host.base / "host.yaml"
    config.write_text(f"version: 1\napi: {{ group: {group} }}\n")
    program = host.base / "ingot"  # where anybody may run it
    shutil.copy(INGOT, program)
    host.define(definition() + """
access:
  keepers: { may: [secret], members: [nobody] }
  deployers: { may: [deploy], members: [bin] }
""")
    host.start(env={"INGOT_HOST_CONFIG": str(config)})
    put(host, FIRST)
    host.apply()

    def as_user(name, *args, value=b""):
        user = pwd.getpwnam(name)
        return subprocess.run([str(program), "secret", *args], cwd=host.project, input=value, capture_output=True, timeout=60,
                              user=user.pw_uid, group=user.pw_gid, extra_groups=[100],
                              env={"INGOT_ROOT": str(host.root), "PATH": os.environ["PATH"]})

    assert as_user("bin", "set", "token", value=b"of bin").returncode == 0
    assert as_user("nobody", "set", "token", value=b"of nobody").returncode == 0
    assert [v["by"] for v in versions(host)] == ["nobody", "bin", "root"]
    refused = as_user("bin", "rm", "token", "--version", versions(host)[1]["version"])
    assert refused.returncode == 1 and b"may secret" in refused.stderr, refused
    assert as_user("nobody", "rm", "token", "--version", versions(host)[1]["version"]).returncode == 0
    assert [v["by"] for v in versions(host)] == ["nobody", "root"]
    assert as_user("nobody", "ls").returncode == 0
    assert as_user("daemon", "ls").returncode == 1
    rotate = as_user("nobody", "rotate-key")
    assert rotate.returncode == 1 and b"root alone" in rotate.stderr


def test_a_name_that_the_definition_does_not_have_is_noted_and_no_rollout_is_promised(host):
    host.define(definition())
    host.start()

    def say(name, *args):
        return subprocess.run([str(INGOT), "secret", "set", name, *args], input=FIRST, cwd=host.project, text=True,
                              env={**os.environ, "INGOT_ROOT": str(host.root)}, capture_output=True, timeout=60)

    done = say("tokne")
    assert done.returncode == 0 and "rolls it out" not in done.stdout, done
    assert done.stderr == "note: ingot.yaml here names no secret tokne; did you mean token?\n", done
    assert len(versions(host, "tokne")) == 1, "it is kept all the same"
    done = say("something_else", "--json")
    assert done.returncode == 0 and json.loads(done.stdout)["changed"] is True, done
    assert "ingot.yaml here names no secret something_else; the value is kept" in done.stderr, done
    done = say("token")
    assert done.returncode == 0 and done.stdout.endswith("`ingot apply` rolls it out\n") and done.stderr == "", done
