"""The agent's program, begun where nothing of what it needs is there."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

# What `pierhead agent` does, and what systemd hears of it.
SCRIPT = """
import asyncio, gc, os, socket, sys
from pathlib import Path
from appliance.daemon.garbage import begin_without_collector
begin_without_collector()
from appliance.agent.program import run
from appliance.daemon.settings import load_settings
async def main():
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as systemd:
        systemd.bind(os.environ["NOTIFY_SOCKET"])
        async with asyncio.TaskGroup() as group:
            agent = group.create_task(run(load_settings(Path(sys.argv[1])), Path(sys.argv[1])))
            while not (heard := await asyncio.get_running_loop().sock_recv(systemd, 65536)).startswith(b"READY=1"):
                pass
            print(heard, gc.isenabled(), file=sys.stderr)
            agent.cancel()
asyncio.run(main())
"""

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="a network namespace needs root")


def test_garbage_is_collected_though_no_feed_comes(tmp_path: Path) -> None:
    """Each attempt to ask the store leaves some: without a collector an agent that waits for it grows for ever."""
    settings = tmp_path / "agent.yaml"
    bird = {"socket": f"{tmp_path}/bird.ctl", "config": f"{tmp_path}/bird.conf"}
    own = {"host": "node-a", "store": f"directory:{tmp_path}/none", "bird": bird}
    settings.write_text(json.dumps({**own, "runDirectory": f"{tmp_path}/run", "cacheDirectory": f"{tmp_path}/cache"}))
    command = ("unshare", "--net", sys.executable, "-c", SCRIPT, str(settings))
    environment = {**os.environ, "NOTIFY_SOCKET": f"{tmp_path}/notify"}
    told = subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stderr
    assert (told.startswith("b'READY=1\\nSTATUS=there is no feed:"), told.endswith("True\n")) == (True, True), told
