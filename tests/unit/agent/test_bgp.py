"""What the watchdog hears of the talk with BIRD."""

import asyncio
import sys
from ipaddress import IPv4Address
from pathlib import Path

from appliance.agent.bgp import BgpShell
from appliance.bird.model import BirdConfig
from appliance.control.event import Events
from appliance.daemon.systemd import works_at_rest
from appliance.host.bird import Bird

DEADLINE_SECONDS = 30.0


async def test_a_bird_that_never_answers_is_no_reason_to_end(tmp_path: Path) -> None:
    """It is asked again and again: the agent works, whatever BIRD does."""
    mute = tmp_path / "birdcl"
    mute.write_text(f"#!{sys.executable}\nimport time\ntime.sleep(3600)\n")
    mute.chmod(0o755)
    (tmp_path / "bird.ctl").touch()
    bird = Bird(tmp_path / "bird.conf", tmp_path / "bird.ctl", birdcl=str(mute), command_seconds=0.05)
    shell = BgpShell(bird, Events(), lambda: None)
    shell.take(BirdConfig(router_id=IPv4Address("192.0.2.1")))
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(shell.run(), name="bird")
        async with asyncio.timeout(DEADLINE_SECONDS):
            before = now = shell.work()
            while now.done < before.done + 3:
                await asyncio.sleep(0.02)
                now = shell.work()
        assert works_at_rest((before,), (now,)) == ()
        assert not shell.status.reachable
        running.cancel()


async def test_nothing_waits_before_there_is_a_loop_to_do_it(tmp_path: Path) -> None:
    """What was asked for and not begun stands still."""
    shell = BgpShell(Bird(tmp_path / "bird.conf", tmp_path / "bird.ctl"), Events(), lambda: None)
    shell.take(BirdConfig(router_id=IPv4Address("192.0.2.1")))
    assert works_at_rest((shell.work(),), (shell.work(),)) == ("bird",)
