"""What is proven on one kernel and file system. Runs inside the virtual machine, started by systemd at each boot.

The parts are stages: a restart or a power cut lies between two of them, and a file says which comes next. What is found
goes to the host line by line; a check that fails does not end the stage, since machines are slow to come by.
"""
import json
import os
import pathlib
import re
import shutil
import subprocess
import time
import traceback
import urllib.error
import urllib.request

PAYLOAD = pathlib.Path("/mnt")
STATE = pathlib.Path("/var/vm-test.json")
PROJECT = pathlib.Path("/root/shop")
ROOT = pathlib.Path("/var/lib/ingot")
CASE = json.loads((PAYLOAD / "case.json").read_text())  # {"kernel": "6.1", "fs": "ext4-verity"}
OLD = CASE["kernel"] == "6.1"
VERITY = CASE["fs"] in ("ext4-verity", "btrfs")
PORT = 8000
# The emulated processor is some 20 times slower than a real one: nothing here is about time.
PATIENCE = 300

report = open("/dev/virtio-ports/ingot", "w", buffering=1)


def say(**line):
    report.write(json.dumps(line) + "\n")


def check(name, good, seen=""):
    say(check=name, ok=bool(good), seen=str(seen)[:3000])
    return bool(good)


def equal(name, seen, wanted):
    return check(name, seen == wanted, f"{seen!r}, wanted {wanted!r}")


def part(function, *words):
    """One part of a stage; those after it are tried whatever becomes of it."""
    try:
        return function(*words)
    except Exception:
        check(function.__name__.replace("_", " "), False, traceback.format_exc()[-3000:])
        tell_why()


def wait_for(what, condition, seconds=PATIENCE):
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {seconds} s")
        time.sleep(0.3)


def run(*words, **options):
    options.setdefault("timeout", 900)
    return subprocess.run(list(map(str, words)), capture_output=True, text=True, **options)


def must(*words, **options):
    done = run(*words, **options)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, words))}: exit {done.returncode}\n{done.stdout[-1500:]}\n{done.stderr[-3000:]}")
    return done.stdout


def ingot(*words):
    return must("ingot", *words, cwd=PROJECT)


def ingot_json(*words):
    return json.loads(ingot(*words, "--json"))


def status():
    return ingot_json("status")


def instances(service, state="ready"):
    for entry in status()["services"]:
        if entry["name"] == service:
            return [i for i in entry["instances"] if state is None or i["state"] == state]
    return []


def images():
    return {service["name"]: service["image"] for service in status()["services"]}


def get(path="/"):
    """(status, X-Revision, X-Upstream, body)"""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{PORT}{path}", timeout=60) as answer:
            return answer.status, answer.headers.get("X-Revision"), answer.headers.get("X-Upstream"), answer.read().decode().strip()
    except urllib.error.HTTPError as error:
        return error.code, error.headers.get("X-Revision"), None, error.read().decode(errors="replace")
    except OSError as error:
        return 0, None, None, str(error)


def serves(revision):
    wait_for(f"{revision} serves", lambda: get()[1] == revision)


DEFINITION = """
version: 1
project: shop
images:
  app: {{ build: . }}
services:
  api:
    image: app
    replicas: 1
    port: 9000
    environment: {{ PORT: "9000", REVISION: {revision} }}
    health: {{ ready: {{ http: /healthz, timeout: 20s, deadline: 240s }} }}
  web:
    image: app
    replicas: 2
    port: 8080
    environment: {{ REVISION: {revision}, UPSTREAM: "api:9000" }}
    uses: [api]
    scratch: [{{ path: /scratch, size: 8MiB }}]
    resources: {{ memory: 96MiB, pids: 50 }}
    health: {{ ready: {{ http: /, timeout: 20s, deadline: 240s }} }}
    rollout: {{ keep_old: 30m, drain: 2s }}
routes:
  - {{ listen: "127.0.0.1:8000", to: web }}
policy: {{ retention: {{ keep: 3 }} }}
"""

# What the layers above one another must give: a file of a lower layer that is removed, replaced, made another's, moved
# with its folder; and a folder that is removed and made anew.
DOCKERFILE = """FROM scratch
COPY busybox /bin/sh
COPY app /app
COPY data /data
RUN ["/bin/sh", "-c", "/bin/sh --list >/dev/null; mkdir -p /tree/sub /opaque /tmp && echo one >/tree/sub/moved && echo old >/opaque/old && echo gone >/removed && echo plain >/chmodded && echo first >/replaced && echo theirs >/chowned"]
RUN ["/bin/sh", "-c", "rm /removed && chmod 0640 /chmodded && chown 5:6 /chowned && echo second >/replaced && mv /tree/sub /tree/there && rm -r /opaque && mkdir /opaque && echo new >/opaque/new"]
COPY version /version
USER 1000:1000
CMD ["/app"]
"""


def define(revision):
    PROJECT.mkdir(exist_ok=True)
    for name in ("app", "busybox"):
        if not (PROJECT / name).exists():
            shutil.copy(PAYLOAD / name, PROJECT / name)
            (PROJECT / name).chmod(0o755)
    if not (PROJECT / "data").exists():
        (PROJECT / "data").write_bytes(b"".join(b"block %06d\n" % n for n in range(20000)))
    (PROJECT / "version").write_text(revision + "\n")
    (PROJECT / "ingot.yaml").write_text(DEFINITION.format(revision=revision))
    (PROJECT / "Dockerfile").write_text(DOCKERFILE)
    (PROJECT / ".dockerignore").write_text("*\n!app\n!busybox\n!data\n!version\n")


def in_image(command):
    """What a shell says in a throw-away instance of the image, which is mounted as serving ones are."""
    return run("ingot", "run", "--user", "0:0", "shop/app:latest", "--", "/bin/sh", "-c", command, cwd=PROJECT)


# --- what the kernel did, from the kernel itself ---

def mount_of(pid, point="/"):
    """(type, source, options of the file system) of what an instance sees at `point`."""
    for line in pathlib.Path(f"/proc/{pid}/mountinfo").read_text().splitlines():
        left, right = line.split(" - ")
        if left.split()[4] == point:
            kind, source, options = right.split(" ", 2)
            return kind, source, options
    return None


def loop_files():
    files = []
    for device in sorted(pathlib.Path("/sys/block").glob("loop*")):
        try:
            files.append((device / "loop/backing_file").read_text().strip())
        except OSError:
            pass
    return files


def facts():
    done = run("ingot", "doctor", "--json")
    try:
        return done.returncode, {fact["name"]: fact for fact in json.loads(done.stdout)["facts"]}
    except ValueError:
        raise AssertionError(f"doctor: {done}")


def the_host_is_what_it_should_be():
    release = os.uname().release
    check("the kernel is of the series", release.startswith(CASE["kernel"] + "."), release)
    mounts = [line.split() for line in pathlib.Path("/proc/mounts").read_text().splitlines()]
    [kind] = [mount[2] for mount in mounts if mount[1] == str(ROOT)]
    equal("the data disk's file system", kind, CASE["fs"].split("-")[0])
    groups = {mount[2] for mount in mounts if mount[2].startswith("cgroup")}
    equal("cgroup v2 alone", groups, {"cgroup2"})


def doctor_says_what_this_kernel_has():
    code, seen = facts()
    states = {name: fact["state"] for name, fact in seen.items()}
    say(doctor=[f"{name}: {fact['state']}: {fact['seen']}" for name, fact in seen.items()])
    wanted = {
        "erofs_file": "degraded" if OLD else "ok",
        "erofs_loop": "ok",
        "overlay_data_only": "degraded" if OLD else "ok",
        "idmapped_mounts": "ok",
        "fs_verity": "ok" if VERITY else "degraded",
        "user_namespaces": "ok", "network_namespaces": "ok", "cgroups": "ok", "cgroup_limits": "ok", "seccomp": "ok",
        "crun": "ok", "conmon": "ok", "haproxy": "ok",
    }
    equal("doctor", {name: states.get(name) for name in wanted}, wanted)
    check("doctor speaks of v2", "v2" in seen["cgroups"]["seen"], seen["cgroups"])
    # Without mmdebstrap it has something to complain of.
    missing = [name for name, state in states.items() if state in ("missing", "unknown")]
    equal("doctor misses", (missing, code), (["mmdebstrap"], 1))


def the_fallback_is_really_taken():
    layers = [file for file in loop_files() if "/layers/" in file]
    if OLD:
        check("a loop device for each layer", len(layers) >= 3, layers)
    else:
        equal("no loop device", layers, [])
    for instance in instances("web") + instances("api"):
        kind, source, options = mount_of(instance["pid"])
        equal("the root of an instance is an overlay", kind, "overlay")
        check("metacopy and redirects", "metacopy=on" in options and "redirect_dir=on" in options, options)
        data_only = "datadir+=" in options or re.search(r"lowerdir=[^,]*::", options) is not None
        check("the pool is " + ("an ordinary lowest layer" if OLD else "data-only"), data_only != OLD, options)
    seen = in_image("ls -a /")
    names = seen.stdout.split()
    check("nobody sees the pool's folders", "app" in names and not [n for n in names if re.fullmatch("[0-9a-f]{2}", n)],
          seen)


def layers_lie_above_one_another():
    shown = in_image("cat /tree/there/moved /replaced /opaque/new /version; ls /opaque /tree; ls -ln /chmodded /chowned; "
                     "cat /removed; md5sum /data")
    words = shown.stdout.split()
    equal("contents through the layers", words[:4], ["one", "second", "new", (PROJECT / "version").read_text().strip()])
    check("a folder made anew", "old" not in words and "sub" not in words and "there" in words, shown)
    check("a mode and an owner of a file alone", re.search(r"-rw-r----- .* /chmodded", shown.stdout)
          and re.search(r" 5 +6 .* /chowned", shown.stdout), shown)
    check("what was removed is gone", "/removed': No such file" in shown.stderr, shown)
    check("the data are those of the context", must("md5sum", PROJECT / "data").split()[0] in words, shown)


def address_of(pid):
    shown = must("nsenter", "-t", pid, "-n", "ip", "-4", "-o", "address", "show", "eth0")
    return re.search(r"inet ([0-9.]+)", shown).group(1)


def reach(pid, address, port):
    """What a connection from the network of an instance comes to; bytes or silence count, a close at once does not."""
    script = ("import socket, sys\ntry:\n  s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 5)\n  s.settimeout(3)\n"
              "  print('closed at once' if s.recv(1) == b'' else 'connected')\nexcept TimeoutError:\n"
              "  print('connected' if 's' in globals() else 'timeout')\nexcept OSError as e:\n  print(e)")
    return must("nsenter", "-t", pid, "-n", "python3", "-c", script, address, port).strip()


def instances_are_kept_apart():
    for path in ("/x", "/app", "/bin/x", "/00"):
        status_, _, _, body = get(f"/write?{path}")
        check(f"a write to {path} is refused", "Read-only file system" in body or "Permission denied" in body, body)
    body = get("/write?/scratch/x")[3]
    check("the scratch space has its size", "No space left" in body, body)
    body = get("/id")[3]
    words = dict(line.split(":", 1) for line in body.splitlines() if ":" in line)
    check("no capability", all(int(words[name], 16) == 0 for name in ("CapEff", "CapBnd")), body)
    check("no new privileges, a seccomp filter", words["NoNewPrivs"].strip() == "1" and words["Seccomp"].strip() == "2", body)
    inside, outside, count = words["UidMap"].split()
    check("a range of users of its own", inside == "0" and int(outside) >= 100000 and int(count) == 65536, body)
    ranges = {pathlib.Path(f"/proc/{i['pid']}/uid_map").read_text().split()[1] for i in instances("web") + instances("api")}
    equal("no two share a range", len(ranges), 3)
    equal("a declared neighbour is reached", get("/connect?api:9000")[3], "connected")
    equal("a neighbour that is not declared has no name", get("/connect?web:8080")[3], "unknown host")
    everyone = {(i["pid"], service): address_of(i["pid"]) for service in ("web", "api") for i in instances(service)}
    ports = {"web": 8080, "api": 9000}
    for (pid, service), address in everyone.items():
        equal("an instance reaches itself", reach(pid, address, ports[service]), "connected")
        for (other, name), target in everyone.items():
            if other != pid:
                body = reach(pid, target, ports[name])
                check(f"{service} does not reach {name} by its address", body != "connected", body)
        body = reach(pid, "1.1.1.1", 80)
        check("nor the world", "unreachable" in body, body)
    for service in ("web", "api"):
        for instance in instances(service):
            spaces = [os.readlink(f"/proc/{instance['pid']}/ns/{name}") for name in ("net", "pid", "mnt", "user", "cgroup")]
            mine = [os.readlink(f"/proc/self/ns/{name}") for name in ("net", "pid", "mnt", "user", "cgroup")]
            check("namespaces of its own", not set(spaces) & set(mine), (spaces, mine))
    instance = instances("web")[0]
    [line] = pathlib.Path(f"/proc/{instance['pid']}/cgroup").read_text().splitlines()
    group = pathlib.Path("/sys/fs/cgroup" + line.removeprefix("0::"))
    limits = [(group / name).read_text().strip() for name in ("memory.max", "pids.max")]
    equal("limits in the one hierarchy", limits, [str(96 << 20), "50"])


def over_its_memory_it_is_killed():
    before = {i["id"] for i in instances("web")}
    body = get("/eat?400")
    check("it is killed", body[3] != "eaten", body)
    wait_for("another instance", lambda: len(instances("web")) == 2 and {i["id"] for i in instances("web")} != before)
    serves("one")


# --- stages ---

def install():
    the_host_is_what_it_should_be()
    must("dpkg", "-i", PAYLOAD / "ingot.deb", env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"})
    wait_for("the daemon answers", lambda: run("ingot", "status", "--host", "--json").returncode == 0)
    equal("the unit", must("systemctl", "show", "-P", "ActiveState", "ingot").strip(), "active")
    equal("it is enabled", run("systemctl", "is-enabled", "ingot").stdout.strip(), "enabled")
    doctor_says_what_this_kernel_has()


def first_release():
    define("one")
    ingot("apply", "--yes")
    serves("one")
    equal("a revision is its own from edge to leaf", get()[:3], (200, "one", "one"))
    part(the_fallback_is_really_taken)
    part(layers_lie_above_one_another)
    part(instances_are_kept_apart)
    part(over_its_memory_it_is_killed)


def second_release():
    first = images()
    define("two")
    ingot("apply", "--yes")
    serves("two")
    second = images()
    check("another image", first != second, (first, second))
    begin = ingot("rollback")
    serves("one")
    equal("the rollback is the first revision", images(), first)
    check("it said so", "r1" in begin, begin)
    ingot("apply", "--yes")
    serves("two")
    equal("and the same digests again", images(), second)


def verified():
    report_ = ingot_json("verify")
    equal("everything is what its name promises", (report_["ok"], report_["kernel_enforced"]), (True, VERITY))
    name = instances("web")[0]["name"]
    check("an instance is as in its image", ingot_json("verify", name)["ok"])
    for unused in ("a", "b", "c", "d"):
        define(unused)
        ingot("build")
    define("two")
    freed = ingot_json("gc", "--keep-cache", "0s")
    check("the collector frees what nothing needs", freed["freed_bytes"] > 0 and freed["removed"], freed)
    check("the collector took nothing that is needed", ingot_json("verify")["ok"])
    serves("two")


def the_daemon_is_not_what_serves():
    before = {i["id"]: i["pid"] for i in instances("web") + instances("api")}
    must("systemctl", "restart", "ingot")
    wait_for("the daemon answers", lambda: run("ingot", "status", "--host", "--json").returncode == 0)
    equal("the same processes serve", {i["id"]: i["pid"] for i in instances("web") + instances("api")}, before)
    must("systemctl", "stop", "ingot")
    equal("without the daemon, too", get()[:3], (200, "two", "two"))
    must("systemctl", "start", "ingot")
    wait_for("the daemon answers", lambda: run("ingot", "status", "--host", "--json").returncode == 0)


def what_is_declared_came_back(kept):
    wait_for("the daemon answers", lambda: run("ingot", "status", "--host", "--json").returncode == 0)
    equal("another boot", boot_id() != kept["boot"], True)
    wait_for("all instances", lambda: len(instances("web")) == 2 and len(instances("api")) == 1)
    serves(kept["revision"])
    equal("from the same digests", images(), kept["images"])
    equal("edge to leaf", get()[:3], (200, kept["revision"], kept["revision"]))
    check("no instance is started twice", not {i["id"] for i in instances("web") + instances("api")} & set(kept["ids"]))
    events = [json.loads(line) for line in ingot("events", "--json", "--after", str(kept["event"])).splitlines()]
    # The warm fleets of the revision before come back, too: of each pair the one that is asked comes first.
    ready = [re.search(r"(web|api)@(\w+)", event["detail"]["instance"]).groups()
             for event in events if event["kind"] == "instance.ready"]
    fleets = list(dict.fromkeys(ready))
    order = "".join(service[0] for service, _ in fleets)
    check("who is asked is ready before who asks", order in ("aw", "aaww", "awaw") and len(ready) >= 3, ready)
    part(the_fallback_is_really_taken)


def last_event():
    return [json.loads(line) for line in ingot("events", "--json").splitlines()][-1]["sequence"]


def boot_id():
    return pathlib.Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def kept_for_next():
    return {"boot": boot_id(), "images": images(), "revision": get()[1], "event": last_event(),
            "ids": [i["id"] for i in instances("web") + instances("api")]}


# --- fs-verity ---

def object_of(path):
    digest = must("fsverity", "digest", "--compact", path).split()[0].removeprefix("sha256:")
    return ROOT / "objects" / digest[:2] / digest[2:]


def below_the_file_system(path):
    """Changes a byte of a file's first block on the disk itself, as a failing disk or somebody with the disk would."""
    device = next(line.split()[0] for line in pathlib.Path("/proc/mounts").read_text().splitlines()
                  if line.split()[1] == str(ROOT))
    inside = "/" + str(path.relative_to(ROOT))
    blocks = must("debugfs", "-R", f"blocks {inside}", device).split()
    size = os.statvfs(ROOT).f_bsize
    must("sync")
    with open(device, "r+b", buffering=0) as disk:
        disk.seek(int(blocks[0]) * size)
        first = disk.read(1)
        disk.seek(int(blocks[0]) * size)
        disk.write(bytes([first[0] ^ 1]))
        os.fsync(disk.fileno())
    must("blockdev", "--flushbufs", device)
    pathlib.Path("/proc/sys/vm/drop_caches").write_text("3\n")


def objects_are_sealed():
    path = object_of(PROJECT / "data")
    check("an object is named by its digest", path.exists(), path)
    done = run("fsverity", "measure", path)
    if not VERITY:
        check("no fs-verity here", done.returncode != 0, done)
        return
    digest = path.parent.name + path.name
    check("the kernel measures what the name says", digest in done.stdout, done)
    plain = [str(file) for file in (ROOT / "objects").rglob("*") if file.is_file()
             and run("fsverity", "measure", file).returncode != 0]
    equal("every object is sealed", plain, [])
    layers = list((ROOT / "layers").glob("*.erofs"))
    plain = [layer.name for layer in layers if layer.stem not in run("fsverity", "measure", layer).stdout]
    check("every layer is sealed by its name", layers and not plain, plain)
    try:
        os.chmod(path, 0o644)
        open(path, "r+b").close()
        check("nobody opens it for writing", False)
    except PermissionError as error:
        check("nobody opens it for writing", True, error)
    finally:
        os.chmod(path, 0o444)


def a_changed_object():
    path = object_of(PROJECT / "data")
    whole = path.read_bytes()
    if CASE["fs"] == "ext4-verity":
        below_the_file_system(path)
        try:
            path.read_bytes()
            check("the kernel refuses a changed object", False, "it was read")
        except OSError as error:
            check("the kernel refuses a changed object", error.errno == 5, error)
        shown = in_image("cat /data >/dev/null")
        check("an instance does not get it either", shown.returncode != 0 and "Input/output error" in shown.stderr, shown)
    elif not VERITY:
        os.chmod(path, 0o644)
        with open(path, "r+b") as file:
            file.write(bytes([whole[0] ^ 1]))
            file.flush()
            os.fsync(file.fileno())
        os.chmod(path, 0o444)
    else:
        # btrfs has sums of its own, which refuse it before fs-verity is asked; so another file takes its place.
        other = path.with_name("other")
        other.write_bytes(bytes([whole[0] ^ 1]) + whole[1:])
        other.rename(path)
    done = run("ingot", "verify", "--json", cwd=PROJECT)
    found = json.loads(done.stdout)
    name = path.parent.name + path.name
    equal("verify says so", (done.returncode, [(p["kind"], p["thing"], p["name"]) for p in found["problems"]]),
          (1, [("damaged", "object", name)]))
    say(verify=found["problems"])
    done = run("ingot", "verify", "--repair", "--json", cwd=PROJECT)
    check("it is made whole by building again", done.returncode == 0 and json.loads(done.stdout)["repaired"], done)
    check("and is what it was", path.read_bytes() == whole)
    if VERITY:
        check("and sealed again", name in run("fsverity", "measure", path).stdout)
    check("an instance reads it", in_image("cat /data >/dev/null").returncode == 0)
    serves("two")


def nothing_is_left():
    ingot("destroy", "--yes")
    done = run("dpkg", "-r", "ingot")
    check("the package goes", done.returncode == 0, done)
    mounts = [line for line in pathlib.Path("/proc/mounts").read_text().splitlines() if "overlay" in line or "erofs" in line]
    equal("no mount is left", mounts, [])
    wait_for("no loop device", lambda: not [file for file in loop_files() if "/layers/" in file], 30)
    pathlib.Path("/proc/sys/vm/drop_caches").write_text("3\n")


def stage_1():
    install()
    first_release()
    part(second_release)
    part(verified)
    part(the_daemon_is_not_what_serves)
    part(objects_are_sealed)
    return kept_for_next(), "reboot"


def stage_2(kept):
    part(what_is_declared_came_back, kept)
    part(a_changed_object)
    return kept_for_next(), "cut"


def stage_3(kept):
    part(what_is_declared_came_back, kept)
    # The way back is still there, also after two ends of the host.
    ingot("rollback")
    serves("one")
    check("all is whole", ingot_json("verify")["ok"])
    part(nothing_is_left)
    return None, "end"


def tell_why():
    say(journal=run("journalctl", "-b", "-u", "ingot", "-n", "60", "--no-pager", "-o", "cat").stdout[-6000:],
        kernel=run("dmesg").stdout[-3000:])


def main():
    state = json.loads(STATE.read_text()) if STATE.exists() else {"stage": 1, "kept": None}
    say(stage=state["stage"])
    try:
        stage = {1: stage_1, 2: stage_2, 3: stage_3}[state["stage"]]
        kept, then = stage() if state["kept"] is None else stage(state["kept"])
    except BaseException:
        check(f"stage {state['stage']} comes to its end", False, traceback.format_exc()[-5000:])
        tell_why()
        kept, then = None, "end"
    if then != "end":
        STATE.write_text(json.dumps({"stage": state["stage"] + 1, "kept": kept}))
        file = os.open(STATE, os.O_RDONLY)
        os.fsync(file)
        # The test's own note must be there after the cut; the product's files must be by themselves.
        os.close(file)
        os.close(os.open("/var", os.O_RDONLY))
    say(then=then)
    if then == "reboot":
        must("systemctl", "reboot")
    elif then == "end":
        must("systemctl", "poweroff")


if __name__ == "__main__":
    main()
