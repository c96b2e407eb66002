"""A backup of a host that serves, and another host made of it."""
import io
import json
import os
import signal
import subprocess
import tarfile

import pytest

import redis
from host import INGOT, Host, free_port, wait_for

VALUE = "vK3-backup-value-51d0"


def definition(revision, cache_port):
    cache = f"""
  cache:
    image: redis
    kind: stateful
    command: [/usr/bin/redis-server, --dir, /data, --appendonly, "yes", --appendfsync, always, --save, "", --protected-mode, "no"]
    user: 1000:1000
    port: 6379
    volumes: [{{ name: data, path: /data }}]
    health: {{ ready: {{ tcp: true, deadline: 5s }} }}
    rollout: {{ drain: 1s }}
"""
    return f"""
version: 1
project: shop
images:
  app: {{ build: . }}
  redis: {{ build: {{ context: ., dockerfile: Redis }} }}
secrets: {{ token: {{ from: store }} }}
services:
  web:
    image: app
    replicas: 2
    port: 8080
    secrets: [token]
    environment: {{ REVISION: {revision} }}
    health: {{ ready: {{ http: /healthz, timeout: 500ms, deadline: 5s }} }}
    rollout: {{ keep_old: 0s, drain: 2s }}
{cache}
routes:
  - {{ listen: "127.0.0.1:@PORT@", to: web }}
  - {{ listen: "127.0.0.1:{cache_port}", to: cache, protocol: tcp }}
volumes: {{ data: {{ snapshot: none }} }}
"""


def fleets(status):
    """The digests of all that instances can see, by service."""
    return {service["name"]: {i["id"].split("@")[1].split("/")[0] for i in service["instances"] if i["state"] == "ready"}
            for service in status["services"]}


def verb(host, *args, **options):
    return subprocess.run([str(INGOT), *args], cwd=host.project, env={**os.environ, "INGOT_ROOT": str(host.root), "NO_COLOR": "1"},
                          capture_output=True, timeout=120, **options)


@pytest.mark.skipif(not redis.PROGRAM.exists(), reason="SKIP: redis-server is not installed")
def test_another_host_serves_the_same_from_a_backup_made_under_load(served):
    host = served
    cache_port = free_port()
    redis.put_program(host.project / "rootfs")
    (host.project / "Redis").write_text("FROM scratch\nCOPY rootfs/ /\n")
    for revision in ("one", "two"):
        host.define(definition(revision, cache_port))
        (host.project / ".dockerignore").write_text("*\n!app\n!rootfs\n")
        if revision == "one":
            done = verb(host, "secret", "set", "token", input=VALUE.encode())
            assert done.returncode == 0, done
        host.apply()
    assert host.get()[1] == "two"
    assert wait_for("the cache answers", lambda: redis.talk(cache_port, ["SET", "greeting", "hello"])[0] == "OK")
    before = host.status()
    file = host.base / "shop.ingot"
    with host.load() as load:
        done = host.ok("backup", str(file), "--images", "--volumes", "--json")
    assert load.result["failed"] == 0, load.result
    assert "the volume shop/local/data-0 is in use" in done.err
    assert "the key of the secrets" in done.err
    manifest = done.json()
    assert [part["name"] for part in manifest["parts"]] == ["state", "store", "scripts", "secrets", "images", "volumes"]
    assert file.stat().st_mode & 0o777 == 0o600
    assert [name for name in os.listdir(host.root / "tmp") if name.startswith("backup-")] == []
    assert [name for name in os.listdir(host.base) if name.startswith("shop.ingot")] == ["shop.ingot"]
    key = (host.root / "secrets.key").read_bytes()
    refused = host.run("restore", str(file))
    assert refused.code == 1 and "a daemon" in refused.err
    host.destroy()
    refused = host.run("restore", str(file))
    assert refused.code == 4 and "an empty root" in refused.err, refused

    other = Host()
    try:
        other.port = host.port
        dry = other.ok("restore", str(file), "--dry-run", "--json").json()
        assert dry["root"] is None and dry["manifest"] == manifest
        assert not other.root.exists()
        done = other.ok("restore", str(file))
        assert "bring the key of the secrets" in done.out
        assert "no files are in the backup" not in done.out
        found = subprocess.run(["grep", "-rl", VALUE, str(other.root)], capture_output=True, text=True)
        assert (found.returncode, found.stdout) == (1, ""), found
        # Without the key nobody takes it for a host without secrets.
        assert "bring it back" in other.run("serve").err
        (other.root / "secrets.key").write_bytes(key)
        (other.root / "secrets.key").chmod(0o600)
        (other.project / "ingot.yaml").write_text((host.project / "ingot.yaml").read_text())
        other.start()
        wait_for("it serves", lambda: other.get()[:2] == (200, "two"))
        wait_for("all are ready", lambda: len(other.instances("web", "ready")) == 2 and other.instances("cache", "ready"))
        after = other.status()
        assert after["active"] == before["active"] == 2
        assert fleets(after) == fleets(before)
        assert other.get("/read?/run/secrets/token")[2].strip() == VALUE
        assert redis.talk(cache_port, ["GET", "greeting"])[0] == "hello"
        assert other.ok("verify", "--json").json()["ok"] is True
        other.ok("rollback", "--json")
        assert other.get()[1] == "one"
        kinds = [json.loads(line)["kind"] for line in other.ok("events", "--host", "--json").out.splitlines()]
        assert "host.restored" in kinds and "secret.set" in kinds
    finally:
        other.close()


def small_backup(host, *options):
    host.one_service()
    host.apply()
    file = host.base / "small.ingot"
    host.ok("backup", str(file), "--with-key", *options)
    return file


def test_images_that_are_left_out_are_named_and_built_again(served):
    host = served
    (host.project / "value").write_text(VALUE)
    file = small_backup(host)
    host.destroy()
    other = Host()
    try:
        other.port = host.port
        missing = other.ok("restore", str(file), "--json").json()["missing_images"]
        assert "shop/app:latest" in " ".join(missing)
        for name in ("ingot.yaml", "Dockerfile", ".dockerignore"):
            (other.project / name).write_text((host.project / name).read_text())
        repaired = other.run("verify", "--repair", "--json").json()
        assert repaired["ok"] is True, repaired
        other.start()
        wait_for("it serves", lambda: other.get()[:2] == (200, "one"))
    finally:
        other.close()


def test_a_restore_that_is_killed_or_has_no_room_leaves_no_root(served):
    host = served
    file = small_backup(host, "--images")
    host.destroy()
    other = Host()
    try:
        # A file that is cut off, or was changed.
        whole = file.read_bytes()
        for bad in (whole[:len(whole) // 2], whole[:-20], b"", whole[:100] + bytes(50) + whole[150:]):
            broken = host.base / "broken.ingot"
            broken.write_bytes(bad)
            done = other.run("restore", str(broken))
            assert done.code in (1, 2), done
            assert [name for name in os.listdir(other.root) if name != "run"] == []
        # Killed while it reads: what is there is no root for anybody, and the same command ends it.
        reading, writing = os.pipe()
        process = subprocess.Popen([str(INGOT), "restore", "-"], stdin=reading, stdout=subprocess.DEVNULL,
                                   env={**os.environ, "INGOT_ROOT": str(other.root)})
        os.close(reading)
        os.write(writing, whole[:60_000])
        wait_for("it has begun", lambda: (other.root / ".restore").exists())
        process.send_signal(signal.SIGKILL)
        process.wait()
        os.close(writing)
        assert "was cut off" in other.run("serve").err
        assert "was cut off" in other.run("images", "ls").err
        other.ok("restore", str(file))
        assert not (other.root / ".restore").exists()
        # Between the last renames, too.
        (other.root / ".restore" / "root").mkdir(parents=True)
        (other.root / "state.db").rename(other.root / ".restore" / "root" / "state.db")
        assert "was cut off" in other.run("serve").err
        other.ok("restore", str(file))
        other.port = host.port
        for name in ("ingot.yaml", "Dockerfile", ".dockerignore"):
            (other.project / name).write_text((host.project / name).read_text())
        other.start()
        wait_for("it serves", lambda: other.get()[:2] == (200, "one"))
    finally:
        other.close()


def test_a_full_disk_leaves_no_backup(served):
    host = served
    host.one_service()
    host.apply()
    small = host.base / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(small)], check=True)
    try:
        full = host.run("backup", str(small / "a.ingot"), "--images", "--json")
        assert full.code == 1
        assert full.json()["error"]["code"] == "no_space"
        assert os.listdir(small) == []
    finally:
        subprocess.run(["umount", str(small)], check=True)
    missing = host.run("backup", str(host.base / "nowhere" / "a.ingot"))
    assert missing.code == 1
    assert host.run("backup", str(host.base / "b.ingot")).code == 0
    # What a former version kept unsealed would not be in it.
    (host.root / "secrets" / "key").write_bytes(bytes(32))
    refused = host.run("backup", str(host.base / "c.ingot"))
    assert refused.code == 4 and "seals them" in refused.err
    assert not (host.base / "c.ingot").exists()
    (host.root / "secrets" / "key").unlink()


def test_a_backup_that_leads_elsewhere_writes_nothing(host):
    def tar(*entries):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
            for name, kind, target, content in entries:
                info = tarfile.TarInfo(name)
                info.type = kind
                info.linkname = target
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
        return out.getvalue()

    manifest = json.dumps({"ingot_backup": 1, "ingot": "0", "host": "x", "root": "/", "created": "2026-01-01T00:00:00.000Z",
                           "warnings": [], "parts": [{"name": "state", "entries": 1, "bytes": 4, "sha256": "0" * 64}]}).encode()
    about = ("manifest.json", tarfile.REGTYPE, "", manifest)
    for entry in (("../escaped", tarfile.REGTYPE, "", b"evil"), ("/tmp/escaped", tarfile.REGTYPE, "", b"evil"),
                  ("state/state.db", tarfile.SYMTYPE, "/etc/passwd", b""), ("state/state.db", tarfile.LNKTYPE, "/etc/passwd", b""),
                  ("state/../../escaped", tarfile.REGTYPE, "", b"evil"), ("state/state.db", tarfile.CHRTYPE, "", b""),
                  ("state/state.db", tarfile.REGTYPE, "", b"longer than 4")):
        file = host.base / "evil.ingot"
        file.write_bytes(tar(about, entry))
        done = host.run("restore", str(file), "--json")
        assert done.code == 2, (entry, done)
        assert done.json()["error"]["code"] == "invalid"
        assert [name for name in os.listdir(host.root) if name != "run"] == []
        assert not (host.base / "escaped").exists()
    # All is as it should be but the digest.
    file.write_bytes(tar(about, ("state/state.db", tarfile.REGTYPE, "", b"evil")))
    assert host.run("restore", str(file), "--json").json()["error"]["code"] == "corrupt"
    newer = manifest.replace(b'"ingot_backup": 1', b'"ingot_backup": 2')
    file.write_bytes(tar(("manifest.json", tarfile.REGTYPE, "", newer)))
    assert host.run("restore", str(file), "--json").json()["error"]["code"] == "unsupported"


def test_doctor_leaves_nothing_where_no_root_is(host):
    """So that a backup can be restored there."""
    assert not host.root.exists()
    host.run("doctor")
    assert not host.root.exists()
    host.root.mkdir()
    host.run("doctor")
    assert list(host.root.iterdir()) == []
