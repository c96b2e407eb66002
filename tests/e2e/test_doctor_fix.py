"""ingot doctor --fix: what it puts right, and what it leaves."""
import json
import os
import shutil
import subprocess

from host import INGOT


def fact(report, name):
    return next(f for f in report["facts"] if f["name"] == name)


def mode(path):
    return path.stat().st_mode & 0o7777


def test_folders_that_let_others_in_are_closed(host):
    secrets = host.root / "secrets"
    secrets.mkdir(parents=True)
    secrets.chmod(0o777)
    elsewhere = host.base / "elsewhere"
    elsewhere.mkdir()
    elsewhere.chmod(0o777)
    (host.root / "volumes").symlink_to(elsewhere)
    report = host.run("doctor", "--json").json()
    seen = fact(report, "folders")
    assert seen["state"] == "missing" and f"{secrets} has mode 0777" in seen["seen"], seen
    assert "fixes" not in report and mode(secrets) == 0o777
    dry = host.run("doctor", "--fix", "--dry-run", "--json").json()
    assert {f["outcome"] for f in dry["fixes"] if f["fact"] == "folders"} == {"would be done"}, dry
    assert mode(secrets) == 0o777
    done = host.run("doctor", "--fix", "--json").json()
    outcomes = {f["what"].split(",")[0].rsplit("/", 1)[1]: f["outcome"] for f in done["fixes"] if f["fact"] == "folders"}
    # A link is followed by nobody: what it leads to is not Ingot's.
    assert outcomes == {"secrets": "done", "volumes": "failed"}, done
    assert mode(secrets) == 0o700 and mode(elsewhere) == 0o777
    (host.root / "volumes").unlink()
    assert fact(host.run("doctor", "--json").json(), "folders")["state"] == "ok"


def test_a_missing_program_is_named_and_not_installed_unasked(host):
    # In a mount namespace of its own the program is one that cannot be run.
    program = shutil.which("mmdebstrap")
    line = f'mount --bind /dev/null {program} && exec {INGOT} doctor --fix --json'
    done = subprocess.run(["unshare", "-m", "--propagation", "private", "sh", "-c", line], capture_output=True, text=True,
                          env={**os.environ, "INGOT_ROOT": str(host.root)})
    report = json.loads(done.stdout)
    assert done.returncode == 1 and fact(report, "mmdebstrap")["state"] == "missing", done
    named = [f for f in report["fixes"] if f["fact"] == "mmdebstrap"]
    assert [(f["what"], f["outcome"]) for f in named] == [("apt-get install -y --no-install-recommends mmdebstrap", "left")], report


def test_options_that_mean_nothing_alone_are_refused(host):
    assert host.run("doctor", "--dry-run").code != 0
