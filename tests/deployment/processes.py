"""The processes of docker-compose.yml without containers: the same commands, settings and health checks.

Only addresses differ: every name of a service becomes this machine, every port one that is free.
"""

import os
import re
import shutil
import socket
import subprocess
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
from compose import our_services, services
from eventually import eventually
from gateway import CONFIGURATION, side_of

from booking.embedded.child import Child

BIN = Path(sys.executable).parent
NGINX = shutil.which("nginx")

NGINX_AROUND = """
daemon off; pid {folder}/nginx.pid; error_log {folder}/gateway.log;
events {{}}
http {{
  access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  include {folder}/gateway.conf;
}}
"""


class Processes:
    """All of our services, started in the order of compose: `async with Processes(...)`."""

    def __init__(self, folder: Path, *, database_url: str, nats_address: str) -> None:
        self.folder = folder
        self.running: dict[str, Child] = {}
        self._database_url = database_url
        self._nats_address = nats_address
        self._opened = AsyncExitStack()
        self._ports: dict[tuple[str, str], int] = {}

    async def __aenter__(self):
        await self._opened.__aenter__()
        try:
            self.migrate()
            for name in our_services():
                if name != "migrate":
                    await self._start(name)
            for name in self.running:
                await eventually(
                    lambda name=name: self.is_healthy(name), within_s=30, every_s=0.2, because=name
                )
            if NGINX:
                await self._start_nginx()
        except BaseException:
            await self._opened.aclose()
            raise
        return self

    async def __aexit__(self, *failure):
        await self._opened.aclose()

    def migrate(self) -> None:
        """Run the one-shot service to its end."""
        command, environ = self._as_here("migrate")
        subprocess.run(command, env=environ, check=True, timeout=60, cwd=self.folder)

    def is_healthy(self, name: str) -> bool:
        """Run the health check of a service once."""
        program, *arguments = services()[name]["healthcheck"]["test"][1:]
        assert program == "python"
        command = [sys.executable, *(self._here(name, each) for each in arguments)]
        return subprocess.run(command, check=False, capture_output=True, timeout=10).returncode == 0

    def url(self, method: str, path: str) -> str:
        """Where a request goes: to the gateway, or where its rule sends it when there is no nginx."""
        if NGINX:
            return f"http://127.0.0.1:{self._port('gateway', '8080')}{path}"
        name, port = {"commands": ("booking-api", "8000"), "queries": ("query-api", "8001")}[
            side_of(method, path.partition("?")[0])
        ]
        return f"http://127.0.0.1:{self._port(name, port)}{path}"

    async def _start(self, name: str) -> None:
        command, environ = self._as_here(name)
        log = self.folder / f"{name}.log"
        child = await Child.start(name, command, environ=environ, log=log)
        self.running[name] = child
        self._opened.push_async_callback(child.stop)

    async def _start_nginx(self) -> None:
        gateway = CONFIGURATION.replace(
            "listen 8080", f"listen {self._here('gateway', '127.0.0.1:8080')}"
        )
        for name, port in re.findall(r"server ([\w-]+):(\d+);", CONFIGURATION):
            gateway = gateway.replace(f"{name}:{port}", f"127.0.0.1:{self._port(name, port)}")
        (self.folder / "gateway.conf").write_text(gateway)
        around = self.folder / "nginx.conf"
        around.write_text(NGINX_AROUND.format(folder=self.folder))
        child = await Child.start(
            "nginx", [NGINX, "-c", str(around)], log=self.folder / "nginx.log"
        )
        self._opened.push_async_callback(child.stop)
        url = self.url("GET", "/health/live")
        await eventually(lambda: answers(url))

    def _as_here(self, name: str) -> tuple[list[str], dict[str, str]]:
        service = our_services()[name]
        program, *arguments = service["command"]
        settings = {
            variable: self._setting(name, variable, value)
            for variable, value in service["environment"].items()
        }
        kept = {each: os.environ[each] for each in ("PATH", "HOME", "LANG") if each in os.environ}
        return [str(BIN / program), *arguments], {**kept, **settings}

    def _setting(self, name: str, variable: str, value: str) -> str:
        if variable.endswith("DATABASE_URL"):
            return self._database_url
        if variable.endswith("_PORT"):
            return str(self._port(name, value))
        return value.replace("nats:4222", self._nats_address).replace("0.0.0.0", "127.0.0.1")  # noqa: S104 - replaced, not bound

    def _here(self, name: str, text: str) -> str:
        return re.sub(
            r"127\.0\.0\.1:(\d+)", lambda found: f"127.0.0.1:{self._port(name, found[1])}", text
        )

    def _port(self, name: str, port: str) -> int:
        """The port that stands for a container's; held until the end, so that nobody else takes it."""
        if (name, port) not in self._ports:
            holder = self._opened.enter_context(socket.socket())
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            holder.bind(("127.0.0.1", 0))
            self._ports[name, port] = holder.getsockname()[1]
        return self._ports[name, port]


def answers(url: str) -> bool:
    """Return whether somebody answers at `url`."""
    try:
        return httpx.get(url, timeout=2).status_code == 200
    except httpx.TransportError:
        return False
