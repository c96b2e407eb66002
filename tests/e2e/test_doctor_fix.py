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


# Of a user namespace, limits are its own: what is raised there is the host's for nobody else.
LIMITED = """
import ctypes, os, subprocess, sys
libc = ctypes.CDLL(None, use_errno=True)
ready, mapped = os.pipe(), os.pipe()
child = os.fork()
if child == 0:
    assert libc.unshare(0x10000000 | 0x20000) == 0, ctypes.get_errno()  # CLONE_NEWUSER, CLONE_NEWNS
    os.write(ready[1], b"x")
    os.read(mapped[0], 1)
    os.setgid(0), os.setuid(0)
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/etc/sysctl.d"], check=True)
    open("/proc/sys/user/max_user_namespaces", "w").write("0")
    for _ in range(2):
        print(subprocess.run([sys.argv[1], "doctor", "--fix", "--json"], capture_output=True, text=True).stdout.replace("\\n", " "))
        print(open("/proc/sys/user/max_user_namespaces").read().strip())
        kept = "/etc/sysctl.d/90-ingot.conf"
        print(open(kept).read().strip() if os.path.exists(kept) else "")
    sys.stdout.flush()
    os._exit(0)
os.read(ready[0], 1)
for kind in ("uid", "gid"):
    open(f"/proc/{child}/{kind}_map", "w").write("0 0 4294967295")
os.write(mapped[1], b"x")
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_the_limit_of_user_namespaces_is_raised_now_and_for_later(host, tmp_path):
    # Modules are nothing that a test may load: whatever is asked for is written down.
    modprobe = tmp_path / "modprobe"
    modprobe.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\n')
    modprobe.chmod(0o755)
    before = int(open("/proc/sys/user/max_user_namespaces").read())
    done = subprocess.run(["python3", "-c", LIMITED, str(INGOT)], capture_output=True, text=True, timeout=120,
                          env={**os.environ, "INGOT_ROOT": str(host.root), "PATH": f"{tmp_path}:{os.environ['PATH']}"})
    assert done.returncode == 0, done
    first, limit, kept, second, limit_then, _ = done.stdout.splitlines()
    fixed = [f for f in json.loads(first)["fixes"] if f["fact"] == "user_namespaces"]
    assert [f["outcome"] for f in fixed] == ["done"], fixed
    assert (limit, kept) == ("15000", "user.max_user_namespaces = 15000")
    # The report is of what there is now, and the next one finds nothing to do.
    assert fact(json.loads(first), "user_namespaces")["state"] == "ok", first
    assert not [f for f in json.loads(second).get("fixes", []) if f["fact"] == "user_namespaces"] and limit_then == limit
    assert int(open("/proc/sys/user/max_user_namespaces").read()) == before


def test_options_that_mean_nothing_alone_are_refused(host):
    assert host.run("doctor", "--dry-run").code != 0
