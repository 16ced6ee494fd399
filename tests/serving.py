"""Servers of tests that leave nothing behind."""

import asyncio
from collections.abc import Awaitable, Callable

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def closing(serve: Serve) -> Serve:
    """The same, which closes its connection however it ends: also where the loop ends before the client was heard.

    What is left open is warned of whenever the collector comes upon it, which is in another test.
    """

    async def whole(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        finally:
            writer.close()

    return whole
