"""The host's configuration: `ingot validate --host`, `ingot schema --host`."""
import json
import os
import subprocess

from host import INGOT


def ingot(*args, **env):
    return subprocess.run([INGOT, *args], capture_output=True, text=True, timeout=60, env={**os.environ, **env})


def test_a_mistake_has_its_place(tmp_path):
    file = tmp_path / "host.yaml"
    file.write_text('version: 1\nregistry:\n  listn: [":5000"]\n')
    for done in ingot("validate", "--host", str(file)), ingot("--host-config", str(file), "validate", "--host"), \
            ingot("validate", "--host", INGOT_HOST_CONFIG=str(file)):
        assert done.returncode == 2
        assert f'{file}:3:3: registry: unknown key "listn"; did you mean "listen"?' in done.stderr
    file.write_text('version: 1\nregistry: { listen: [":5000"] }\n')
    assert ingot("validate", "--host", str(file)).returncode == 0
    done = ingot("validate", "--host", "--json", str(file))
    assert json.loads(done.stdout) == {"valid": True, "problems": []}
    # A file that was named has to be there.
    assert ingot("validate", "--host", INGOT_HOST_CONFIG=str(tmp_path / "none")).returncode == 1
    assert json.loads(ingot("schema", "--host").stdout)["title"] == "host.yaml, version 1"
