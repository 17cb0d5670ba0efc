#!/usr/bin/env python3
"""relay.py LISTEN_ADDRESS:PORT TARGET_ADDRESS:PORT [--rate BYTES_PER_SECOND] [--delay SECONDS] [--latency SECONDS]

Passes TCP connections on, slowly: the kernel of the test machines has no netem. --rate limits what comes back from the
target, over all connections together; --delay holds back the first byte of every connection. --latency makes
whatever comes back from the target arrive that much later, without a limit to how much is on its way. Ends with SIGTERM.
"""
import argparse
import asyncio
import time


def address(text):
    host, port = text.rsplit(":", 1)
    return host, int(port)


class Rate:
    """Lets through so many bytes a second, in slices of 50 ms."""

    def __init__(self, per_second):
        self.per_second = per_second
        self.free_at = 0.0

    async def take(self, count):
        if self.per_second:
            now = time.monotonic()
            self.free_at = max(self.free_at, now) + count / self.per_second
            await asyncio.sleep(max(0.0, self.free_at - now))

    def slice(self):
        return max(1, min(65536, int(self.per_second / 20))) if self.per_second else 65536


async def pump(reader, writer, rate, delay):
    try:
        await asyncio.sleep(delay)
        while data := await reader.read(rate.slice()):
            await rate.take(len(data))
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


async def pump_later(reader, writer, latency):
    """Two halves: one reads at full speed and notes when each piece is due, the other waits for that moment."""
    loop = asyncio.get_running_loop()
    under_way = asyncio.Queue(maxsize=1024)

    async def read():
        try:
            while data := await reader.read(65536):
                await under_way.put((loop.time() + latency, data))
        except OSError:
            pass
        await under_way.put((loop.time() + latency, b""))

    async def write():
        while True:
            due, data = await under_way.get()
            await asyncio.sleep(max(0.0, due - loop.time()))
            if not data:
                return
            writer.write(data)
            await writer.drain()

    reading = asyncio.ensure_future(read())
    try:
        await write()
    except OSError:
        pass
    finally:
        reading.cancel()
        writer.close()


async def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("listen", type=address)
    parser.add_argument("target", type=address)
    parser.add_argument("--rate", type=float, default=0)
    parser.add_argument("--delay", type=float, default=0)
    parser.add_argument("--latency", type=float, default=0)
    options = parser.parse_args()
    if options.rate and options.latency:
        parser.error("--rate and --latency are for different connections: start two relays, one behind the other")
    back, forth = Rate(options.rate), Rate(0)

    async def serve(reader, writer):
        try:
            target_reader, target_writer = await asyncio.open_connection(*options.target)
        except OSError:
            writer.close()
            return
        backwards = pump_later(target_reader, writer, options.latency) if options.latency else pump(target_reader, writer, back, 0)
        await asyncio.gather(pump(reader, target_writer, forth, options.delay), backwards)

    server = await asyncio.start_server(serve, *options.listen)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
