"""`ingot verify INSTANCE`: what a running instance sees, against its image, while the daemon runs."""
import ctypes
import os
import subprocess

from host import wait_for


def first(served):
    return served.instances("web", "ready")[0]


def verify(served, *names):
    done = served.run("verify", *names, "--json", timeout=300)
    return done.code, done.json()


def mount_over(instance, path, contents):
    """Somebody with the host's root mounts over a file or folder of the instance; its own programs need not be there."""
    libc = ctypes.CDLL(None, use_errno=True)
    child = os.fork()
    if child == 0:
        try:
            namespace = os.open(f"/proc/{instance['pid']}/ns/mnt", os.O_RDONLY)
            root = os.open(f"/proc/{instance['pid']}/root", os.O_RDONLY)
            ok = libc.setns(namespace, 0) == 0
            os.fchdir(root)
            os.chroot(".")
            ok = ok and libc.mount(b"tmpfs", path.encode(), b"tmpfs", 0, None) == 0
            if ok and contents:
                with open(os.path.join(path, "added"), "w") as file:
                    file.write(contents)
            os._exit(0 if ok else 1)
        except BaseException:
            os._exit(2)
    assert os.waitpid(child, 0)[1] == 0


def test_a_running_instance_is_what_its_image_says(served):
    served.one_service("one", replicas=2)
    served.apply()
    instance = first(served)
    code, report = verify(served, instance["name"])
    assert code == 0 and report["ok"], report
    [one] = report["instances"]
    assert one["instance"] == instance["name"] and one["environment"] == "shop/local"
    assert one["state"] == "none" and one["drifts"] == [] and one["unknown"] == []
    assert one["files"] > 3 and one["bytes"] > 10_000, one
    # Its image was recomputed, too, and no other.
    assert report["images"] == 1 and report["objects"] > 0
    code, report = verify(served, f"shop/local/{instance['name']}")
    assert code == 0 and len(report["instances"]) == 1
    code, report = verify(served, "shop/local/web")  # a service
    assert code == 0 and {i["state"] for i in report["instances"]} == {"none"} and len(report["instances"]) == 2
    text = served.ok("verify", instance["name"]).out
    assert f"shop/local/{instance['name']}: " in text and "as in its image" in text
    assert served.run("verify", "web-999").code == 1
    assert "no image, instance or service" in served.run("verify", "web-999").err


def test_something_mounted_over_its_files_is_found(served):
    served.one_service("one", replicas=1)
    served.apply()
    instance = first(served)
    mount_over(instance, "/etc", "not of the image")
    code, report = verify(served, instance["name"])
    assert code == 1 and report["ok"] is False and report["problems"] == []
    [one] = report["instances"]
    assert one["state"] == "drift"
    assert {"kind": "unexpected", "path": "/etc", "detail": "something is mounted there that nobody declared"} in one["drifts"]
    shown = served.run("verify", instance["name"])
    assert shown.code == 1 and f"unexpected shop/local/{instance['name']} /etc:" in shown.out
    # It serves all the while, and its image is whole.
    assert served.get()[0] == 200
    assert served.ok("verify").code == 0


def test_a_damaged_object_is_seen_in_the_image_and_in_the_instance(served):
    served.one_service("one", replicas=1)
    served.apply()
    instance = first(served)
    victim = max((p for p in (served.root / "objects").rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
    done = subprocess.run(["chattr", "-i", str(victim)], capture_output=True)
    assert done.returncode in (0, 1)
    before = victim.stat()
    data = bytearray(victim.read_bytes())
    data[len(data) // 2] ^= 1
    victim.chmod(0o644)
    with open(victim, "r+b") as file:
        file.seek(len(data) // 2)
        file.write(data[len(data) // 2:len(data) // 2 + 1])
    victim.chmod(before.st_mode & 0o777)
    code, report = verify(served, instance["name"])
    assert code == 1
    assert [p["kind"] for p in report["problems"]] == ["damaged"]
    [one] = report["instances"]
    assert [d["kind"] for d in one["drifts"]] == ["changed"] and "contents" in one["drifts"][0]["detail"], one


def test_what_does_not_run_is_unknown_and_not_fine(served):
    served.one_service("one", replicas=1)
    served.apply()
    instance = first(served)
    served.kill_daemon()
    done = served.run("verify", instance["name"])
    assert done.code == 1 and "of instances nothing is known" in done.err, done
    served.start()
    wait_for("the instance is listed again", lambda: served.instances("web", "ready"))
    assert verify(served, instance["name"])[0] == 0
