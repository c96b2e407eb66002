"""environments.X.verify: what a new revision has to show when it serves, by commands of the project."""
import json
import os
import signal
import subprocess

import pytest

from host import INGOT, wait_for


def define(host, revision, verify="[{ run: ./smoke.sh, timeout: 20s }]", more=""):
    host.define(f"""
version: 1
project: shop
images: {{ app: {{ build: . }} }}
services:
  web:
    image: app
    port: 8080
    replicas: 1
    environment: {{ REVISION: "{revision}" }}
    health: {{ ready: {{ http: /healthz }} }}
    rollout: {{ keep_old: 1m, drain: 1s }}
routes: [{{ listen: "127.0.0.1:@PORT@", to: web }}]
environments:
  local: {{ verify: {verify} }}
  {more}
""")


def script(host, text, name="smoke.sh"):
    path = host.project / name
    path.write_text("#!/bin/bash\n" + text)
    path.chmod(0o755)


def events(host, kind):
    return [e for e in map(json.loads, host.ok("events", "--json").out.splitlines()) if e["kind"] == kind]


@pytest.fixture
def shop(host):
    define(host, "one")
    script(host, f"""
[ "$(pwd)" = "{host.project}" ] || {{ echo "not in the project"; exit 9; }}
echo "$INGOT_PROJECT/$INGOT_ENVIRONMENT r$INGOT_REVISION rollout $INGOT_ROLLOUT" > said
exec 3<>/dev/tcp/127.0.0.1/{host.port}; printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3; grep -qi 'x-revision: .*bad' <&3 || exit 0
for n in 1 2 3 4 5 6 7; do echo "line $n"; done
printf 'it is bad \\xff\\n' >&2
exit 3
""")
    host.start()
    return host


def test_what_passes_is_verified_and_what_fails_goes_back(shop):
    # Called from another folder, it is the definition's in which commands run.
    done = shop.ok("apply", "--yes", "--json", "-f", str(shop.project / "ingot.yaml"), cwd="/").json()
    assert done["verification"]["passed"] and done["verification"]["runs"][0]["command"] == "./smoke.sh", done
    assert (shop.project / "said").read_text() == "shop/local r1 rollout 1\n"
    assert shop.status()["verified"] is True
    define(shop, "bad")
    done = shop.run("apply", "--yes")
    assert done.code == 5, done
    assert "rolled back: verification by ./smoke.sh failed: exit code 3" in done.err and "r1 serves again" in done.err, done
    # The last lines, and no byte that is no text.
    assert "it is bad ?" in done.err and "line 7" in done.err and "line 2" not in done.err, done
    assert shop.get()[1] == "one"
    failed = events(shop, "revision.verify_failed")
    assert [e["detail"]["revision"] for e in failed] == ["r2"] and "exit code 3" in failed[0]["detail"]["reason"], failed
    assert [e["detail"]["revision"] for e in events(shop, "revision.verified")] == ["r1"]
    history = {r["revision"]: r["verified"] for r in shop.ok("history", "--json").json()["revisions"]}
    assert history == {1: True, 2: False}
    assert "not verified" in shop.ok("history").out


def test_a_first_release_that_fails_serves_and_says_that_it_is_not_verified(shop):
    define(shop, "bad")
    done = shop.run("apply", "--yes", "--json")
    assert done.code == 1, done
    assert "first revision" in done.json()["verification"]["not_taken_back"], done
    assert shop.status()["verified"] is False
    assert "not verified:" in shop.ok("status").out


def test_a_client_that_dies_leaves_it_open_until_somebody_says_so(shop):
    shop.apply()
    script(shop, "echo $$ > begun.new && mv begun.new begun; exec sleep 60\n")
    define(shop, "two", more="production: { promote_from: local }")
    (shop.project / "begun").unlink(missing_ok=True)
    client = subprocess.Popen([str(INGOT), "apply", "--yes"], cwd=shop.project, stdout=subprocess.DEVNULL,
                              env={**os.environ, "INGOT_ROOT": str(shop.root)})
    wait_for("its command runs", (shop.project / "begun").exists)
    client.send_signal(signal.SIGKILL)
    client.wait()
    pid = (shop.project / "begun").read_text().strip()
    wait_for("it ends with its client", lambda: not os.path.exists(f"/proc/{pid}"))
    assert shop.get()[1] == "two"
    # The next daemon knows as well.
    shop.kill_daemon()
    shop.start()
    assert shop.status()["verified"] is False
    # An apply of the same finds nothing to do but this; so does the verb.
    script(shop, "exit 0\n")
    assert "nothing to do" in shop.ok("apply", "--yes").out
    assert shop.status()["verified"] is True
    assert "verified already" in shop.ok("rollout", "verify").out
    define(shop, "three")
    shop.ok("apply", "--yes", "--detach")
    wait_for("three serves", lambda: shop.get()[1] == "three" and shop.status()["verified"] is False)
    script(shop, "exit 1\n")
    wait_for("it has moved", lambda: (shop.status()["rollout"] or {}).get("phase", "baking") == "baking")
    done = shop.run("rollout", "verify")
    assert done.code == 5 and shop.get()[1] == "two", done
    assert shop.status()["verified"] is True, "two was verified"


def test_what_is_not_verified_is_not_promoted(shop):
    define(shop, "bad", more="production: { promote_from: local }")
    assert shop.run("apply", "--yes").code == 1
    done = shop.run("promote", "app", "--to", "production")
    assert done.code == 4, done
    define(shop, "good", more="production: { promote_from: local }")
    shop.apply()
    wait_for("it is proven", lambda: shop.run("promote", "app", "--to", "production").code == 0)


def test_what_is_in_the_way_is_said_before_anything_is_changed(shop):
    define(shop, "one", verify="[{ run: ./absent.sh }]")
    done = shop.run("apply", "--yes")
    assert done.code == 2 and "absent.sh is not there" in done.err and "ingot.yaml:15:" in done.err, done
    assert shop.run("status", "--json").code != 0, "nothing was deployed"
    define(shop, "one", verify="[{ run: sleep 60, timeout: 300ms }]")
    done = shop.run("apply", "--yes", "--json")
    assert done.code == 1 and not done.json()["verification"]["passed"], done
