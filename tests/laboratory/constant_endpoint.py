"""The cheapest HTTP server there is: the same answer to whatever comes, so that only the generator is measured. Prints its port."""

import asyncio

import uvloop

BODY = b'{"remaining":500,"version":7,"position":42}'
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (
    len(BODY),
    BODY,
)


class Constant(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(ANSWER * data.count(b"\r\n\r\n"))


async def main() -> None:
    server = await asyncio.get_running_loop().create_server(Constant, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)  # noqa: T201 -- whoever started it waits for this line
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
