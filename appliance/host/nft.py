"""The kernel's packet filter through `nft`: Pierhead's tables, replaced as a whole in one transaction."""

import asyncio
import json
from collections.abc import Sequence

from appliance.nft.ruleset import FAMILIES, Ruleset, digest_of, render_removal
from appliance.nft.syntax import TABLE


class NftError(Exception):
    """`nft` cannot be run, or refused what it was given; the message is its own."""


class Nft:
    """The tables named `pierhead` of this network namespace, or of the one that `command` enters."""

    def __init__(self, command: Sequence[str] = ("nft",)) -> None:
        self._command = tuple(command)
        self._applied: str | None = None

    async def apply(self, ruleset: Ruleset) -> bool:
        """Make the tables be this ruleset and say whether they were not; a refused ruleset changes nothing.

        Where another one was the last applied here, the kernel is not asked first: a change is in force sooner.
        """
        if self._applied in (None, ruleset.digest) and await self.read() == ruleset.digest:
            self._applied = ruleset.digest
            return False
        await self._run(("-f", "-"), ruleset.text)
        self._applied = ruleset.digest
        return True

    async def check(self, text: str) -> None:
        """Ask whether the kernel would take a text; raises NftError where it would not."""
        await self._run(("-c", "-f", "-"), text)

    async def read(self) -> str | None:
        """The digest of the ruleset in the kernel; None where a table is missing or the tables are not of one."""
        written = json.loads(await self._run(("-j", "list", "chains"), ""))
        chains = [entry["chain"] for entry in written["nftables"] if "chain" in entry]
        found = {
            chain["family"]: digest
            for chain in chains
            if chain["table"] == TABLE and (digest := digest_of(chain["name"]))
        }
        digests = {found.get(family) for family in FAMILIES}
        return digests.pop() if len(digests) == 1 else None

    async def clear(self) -> None:
        """Remove the tables."""
        await self._run(("-f", "-"), render_removal())
        self._applied = None

    async def _run(self, arguments: tuple[str, ...], text: str) -> str:
        try:
            process = await asyncio.create_subprocess_exec(
                *self._command,
                *arguments,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
        except OSError as error:
            raise NftError(f"{self._command[0]}: {error.strerror}") from error
        output, complaint = await process.communicate(text.encode())
        if process.returncode != 0:
            raise NftError(complaint.decode(errors="replace").strip())
        return output.decode()
