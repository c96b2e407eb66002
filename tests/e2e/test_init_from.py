"""`ingot init --from`: a Compose file and a Dockerfile become definitions that validate, and one that runs."""
import shutil

from host import APP


def test_a_compose_file_runs(host):
    (host.project / "Dockerfile").write_text('FROM scratch\nCOPY app /app\nENTRYPOINT ["/app"]\n')
    (host.project / ".dockerignore").write_text("*\n!app\n")
    (host.project / ".env").write_text("WORD=from-env-file\n")
    (host.project / "compose.yaml").write_text(f"""
services:
  web:
    build: .
    ports: ["127.0.0.1:{host.port}:8080"]
    environment: {{ REVISION: "$WORD", UPSTREAM: "back:8080" }}
    depends_on: [back]
    networks: [front]
  back:
    build: {{ context: . }}
    environment: [REVISION=back]
    user: "1000"
networks: {{ front: }}
""")
    done = host.ok("init", "--from", "compose.yaml", "--json")
    notes = {note["path"]: note["why"] for note in done.json()["notes"]}
    assert done.json()["services"] == 2 and "network of its own" in notes["services.web.networks"]
    assert notes["services.web.ports"].startswith("port 8080 is taken to speak HTTP")
    assert "# - compose.yaml:8: services.web.networks: " in (host.project / "ingot.yaml").read_text()
    host.ok("validate")
    # It never writes over a definition, nor where its paths would mean something else.
    assert host.run("init", "--from", "compose.yaml").code == 1
    (host.base / "other").mkdir()
    done = host.run("init", "--from", str(host.project / "compose.yaml"), cwd=host.base / "other")
    assert done.code == 2 and "relative to its folder" in done.err, done
    host.start()
    host.ok("apply", "--yes")
    assert host.get("/")[:2] == (200, "from-env-file")
    # Nothing is lost between the two: web asked its neighbour.
    import urllib.request
    with urllib.request.urlopen(f"http://127.0.0.1:{host.port}/") as answer:
        assert answer.headers["X-Upstream"] == "back"


def test_a_dockerfile_runs(host):
    (host.project / "Dockerfile").write_text(
        'FROM scratch\nCOPY app /app\nEXPOSE 8080 53/udp\nVOLUME /data\nUSER 1000\nENTRYPOINT ["/app"]\n')
    (host.project / ".dockerignore").write_text("*\n!app\n")
    done = host.ok("init", "--from", "Dockerfile", "tiny")
    assert "Dockerfile:4: VOLUME /data: " in done.out and "UDP is not carried" in done.out, done
    text = (host.project / "ingot.yaml").read_text()
    (host.project / "ingot.yaml").write_text(text.replace(":8000", f"127.0.0.1:{host.port}"))
    assert "project: tiny" in text
    host.start()
    host.ok("apply", "--yes")
    assert host.get("/")[0] == 200


def test_what_is_neither_is_refused(host):
    (host.project / "compose.yaml").write_text("services: [web]\n")
    done = host.run("init", "--from", "compose.yaml")
    assert done.code == 2 and not (host.project / "ingot.yaml").exists(), done
    (host.project / "Dockerfile").write_text("FROMM x\n")
    assert host.run("init", "--from", "Dockerfile").code == 2
    assert host.run("init", "--from", "none.yaml").code == 1
    assert shutil.which(str(APP))
