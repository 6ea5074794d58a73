"""An engine as this daemon calls it: which binary, in whose name, and how it is spoken to."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import trio

from healthd.engines import process
from healthd.engines.carrying import DIALECTS
from healthd.engines.dialect import Dialect, Engine, EngineName


@dataclass(frozen=True, slots=True)
class Program:
    """One engine, ready to be started."""

    dialect: Dialect
    path: str
    """Absolute path of the binary."""
    owner: str
    """The mark of our children; see :func:`healthd.engines.process.sweep`."""
    ca_file: Path | None = None
    """PEM certificates that nodes may bear besides those of the system's authorities."""

    async def run(
        self,
        config: bytes,
        on_output: Callable[[bytes], object],
        *,
        task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED,
    ) -> int:
        """Run a configuration to its end; see :func:`healthd.engines.process.run`."""
        return await self._call(self.dialect.run, config, on_output, task_status)

    async def check(self, config: bytes, on_output: Callable[[bytes], object]) -> int:
        """Have a configuration judged; return the exit code."""
        return await self._call(self.dialect.check, config, on_output, trio.TASK_STATUS_IGNORED)

    async def _call(
        self,
        arguments: tuple[str, ...],
        config: bytes,
        on_output: Callable[[bytes], object],
        task_status: trio.TaskStatus[int],
    ) -> int:
        # Go reads this file instead of the system's bundle, and the system's folders as before.
        authorities = {} if self.ca_file is None else {"SSL_CERT_FILE": str(self.ca_file)}
        return await process.run(
            [self.path, *arguments],
            stdin=config,
            on_output=on_output,
            owner=self.owner,
            environment=authorities,
            task_status=task_status,
        )


Programs = Mapping[EngineName, Program]


def programs(
    engines: Mapping[EngineName, Engine], *, owner: str, ca_file: Path | None = None
) -> dict[EngineName, Program]:
    """The engines that were found, ready to be started."""
    return {
        name: Program(DIALECTS[name], engine.path, owner, ca_file)
        for name, engine in engines.items()
    }
