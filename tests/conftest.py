import os
import pathlib
import shutil
import tempfile

import pytest

from host import APP, INGOT, LOAD, Host


def pytest_collection_modifyitems(items):
    reason = None
    if os.geteuid() != 0:
        reason = "SKIP: needs root"
    elif not all(program.exists() for program in (INGOT, LOAD, APP)):
        reason = f"SKIP: not built: {INGOT.parent}"
    if reason:
        for item in items:
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture
def host():
    """A host without a daemon."""
    made = Host()
    yield made
    made.close()


@pytest.fixture
def served(host):
    """A host with its daemon running and nothing deployed."""
    host.start()
    return host


@pytest.fixture
def short_path():
    """A folder whose name leaves room for the sockets that other programs make below it (a path of 107 bytes at most)."""
    made = pathlib.Path(tempfile.mkdtemp(dir="/tmp"))
    yield made
    shutil.rmtree(made, ignore_errors=True)
