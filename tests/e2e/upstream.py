# SPDX-License-Identifier: Apache-2.0
"""
A real upstream on one port of loopback: HTTP/1.1 and HTTP/2, told by a connection's first bytes.

A test registers an ``Answer`` and gets the path that gives it. ``/bytes/N`` gives N bytes, any
other path "hello"; a gRPC request to an unregistered path gets its own messages back.
"""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import AsyncIterator, Sequence

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h11

from .messages import Answer, Gate, Pairs, Request, pairs

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
GRPC = (b"content-type", b"application/grpc")


class Upstream:
    """The server, on a thread of its own."""

    def __init__(self) -> None:
        """Prepare; ``start`` listens."""
        self.port = 0
        self._answers: dict[bytes, Answer] = {}
        self._requests: dict[bytes, list[Request]] = {}
        self._failing: set[bytes] = set()
        self._numbers = itertools.count(1)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="upstream")

    def start(self) -> Upstream:
        """Listen on a free port."""
        self._thread.start()
        starting = asyncio.start_server(self._serve_connection, "127.0.0.1", 0)
        server = asyncio.run_coroutine_threadsafe(starting, self._loop).result(10)
        self.port = server.sockets[0].getsockname()[1]
        return self

    def stop(self) -> None:
        """Drop every connection and end the thread."""

        async def cancel_all() -> None:
            tasks = asyncio.all_tasks() - {asyncio.current_task()}
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(cancel_all(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def serve(self, answer: Answer) -> bytes:
        """Register *answer* and give the path for it."""
        path = b"/answer/%d" % next(self._numbers)
        self._answers[path] = answer
        return path

    def fail_once(self, path: bytes) -> None:
        """Reset the next request for a registered path."""
        self._failing.add(path)

    def received(self, path: bytes) -> list[Request]:
        """All requests that came whole for a registered path."""
        return list(self._requests.get(path, ()))

    # --- what both protocols do with a request ---

    def answer_for(self, request: Request) -> Answer:
        """Choose the answer to a request of which the headers are there."""
        known = self._answers.get(request.path.partition(b"?")[0])
        if known is not None:
            return known
        if request.path.startswith(b"/bytes/"):
            return Answer(body=(b"x" * int(request.path[7:]),))
        return Answer()

    def answer_to(self, request: Request) -> Answer:
        """Choose the answer to a whole request, which is kept when its path is registered."""
        path = request.path.partition(b"?")[0]
        if path in self._answers:
            self._requests.setdefault(path, []).append(request)
        if path in self._failing:
            self._failing.remove(path)
            return Answer(reset="before_headers")
        if path not in self._answers and GRPC in request.headers:
            return Answer(
                headers=[GRPC], body=request.body or (b"",), trailers=[(b"grpc-status", b"0")]
            )
        return self.answer_for(request)

    async def _serve_connection(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            start = await reader.readexactly(4)
            kind = Http2 if start == PREFACE[:4] else Http1
            await kind(self, reader, writer).run(start)
        except (ConnectionError, asyncio.IncompleteReadError, h11.RemoteProtocolError):
            pass  # Envoy closed, which is its right.
        except asyncio.CancelledError:
            pass  # We stop; a task that ends as cancelled is logged as an error by asyncio.
        finally:
            writer.close()


async def opened(gate: Gate) -> None:
    """Wait for a gate; one who gives up waiting leaves it as it is for the others."""
    await asyncio.shield(asyncio.wrap_future(gate.future))


async def all_opened(gates: Sequence[Gate]) -> None:
    """Wait for several."""
    for gate in gates:
        await opened(gate)


async def chunks(answer: Answer) -> AsyncIterator[bytes]:
    """Give the answer's body piece by piece, with the wait that it asks for."""
    for number, chunk in enumerate(answer.body):
        if number == 1 and answer.wait_in_body is not None:
            await opened(answer.wait_in_body)
        await all_opened(answer.gates[number : number + 1])
        yield chunk
    await all_opened(answer.gates[len(answer.body) :])
    if len(answer.body) == 1 and answer.wait_in_body is not None:
        await opened(answer.wait_in_body)


class Http1:
    """One HTTP/1.1 connection."""

    def __init__(
        self, upstream: Upstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Wrap an accepted connection."""
        self._upstream = upstream
        self._reader = reader
        self._writer = writer
        self._http = h11.Connection(h11.SERVER)

    async def run(self, start: bytes) -> None:
        """Serve requests until the peer or an answer ends the connection."""
        self._http.receive_data(start)
        while await self._exchange():
            self._http.start_next_cycle()

    async def _event(self) -> h11.Event | type[h11.PAUSED]:
        while (event := self._http.next_event()) is h11.NEED_DATA:
            data = await self._reader.read(65536)
            self._http.receive_data(data)
        assert not isinstance(event, type) or event is h11.PAUSED
        return event

    async def _exchange(self) -> bool:
        head = await self._event()
        if not isinstance(head, h11.Request):
            return False
        headers = pairs(head.headers.raw_items())
        request = Request(method=head.method, path=head.target, headers=headers)
        answer = self._upstream.answer_for(request)
        for status in answer.interim:
            await self._send(h11.InformationalResponse(status_code=status, headers=[]))
        if not answer.early:
            body: list[bytes] = []
            while isinstance(event := await self._event(), h11.Data):
                body.append(bytes(event.data))
            if not isinstance(event, h11.EndOfMessage):
                return False
            request = Request(
                method=head.method,
                path=head.target,
                headers=headers,
                body=body,
                trailers=pairs(event.headers.raw_items()),
            )
            answer = self._upstream.answer_to(request)
        await self._answer(answer, head.method)
        return self._http.our_state is h11.DONE and self._http.their_state is h11.DONE

    async def _answer(self, answer: Answer, method: bytes) -> None:
        if answer.wait is not None:
            await opened(answer.wait)
        if answer.reset == "before_headers":
            raise ConnectionResetError
        if answer.echo:
            return await self._echo(answer)
        await self._send(self._head(answer, method))
        if answer.reset == "after_headers":
            raise ConnectionResetError
        if method != b"HEAD":
            async for chunk in chunks(answer):
                await self._send(h11.Data(data=chunk))
                if answer.reset == "in_body":
                    await all_opened(answer.gates[1:])
                    raise ConnectionResetError
        return await self._send(h11.EndOfMessage(headers=list(answer.trailers)))

    async def _echo(self, answer: Answer) -> None:
        await self._send(h11.InformationalResponse(status_code=101, headers=list(answer.headers)))
        data = self._http.trailing_data[0]
        for _ in range(answer.echo):
            data = data or await self._reader.read(65536)
            self._writer.write(data)
            await self._writer.drain()
            data = b""

    def _head(self, answer: Answer, method: bytes) -> h11.Response:
        headers = list(answer.headers)
        has_length = any(name == b"content-length" for name, _ in headers)
        waits = answer.wait_in_body or answer.gates
        streamed = answer.trailers or waits or answer.reset == "in_body"
        if not streamed and not has_length and method != b"HEAD":
            length = sum(map(len, answer.body))
            headers.append((b"content-length", str(length).encode()))
        return h11.Response(status_code=answer.status, headers=headers)

    async def _send(self, event: h11.Event) -> None:
        data = self._http.send(event)
        if data:
            self._writer.write(data)
            await self._writer.drain()


class Http2:
    """One HTTP/2 connection; each stream is answered by a task of its own."""

    def __init__(
        self, upstream: Upstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Wrap an accepted connection."""
        self._upstream = upstream
        self._reader = reader
        self._writer = writer
        config = h2.config.H2Configuration(client_side=False, header_encoding=None)
        self._http = h2.connection.H2Connection(config)
        self._requests: dict[int, Request] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._window = asyncio.Event()

    async def run(self, start: bytes) -> None:
        """Serve streams until the peer ends the connection."""
        self._http.initiate_connection()
        try:
            data = start
            while data:
                for event in self._http.receive_data(data):
                    self._on_event(event)
                await self._flush()
                data = await self._reader.read(65536)
        finally:
            for task in self._tasks.values():
                task.cancel()

    def _on_event(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.RequestReceived):
            self._on_request(event.stream_id or 0, pairs(event.headers or ()))
        elif isinstance(event, h2.events.DataReceived):
            self._on_data(event)
        elif isinstance(event, h2.events.TrailersReceived):
            self._change(event.stream_id or 0, trailers=pairs(event.headers or ()))
        elif isinstance(event, h2.events.StreamEnded):
            request = self._requests[event.stream_id or 0]
            answer = self._upstream.answer_to(request)
            if not answer.early:
                self._start(event.stream_id or 0, answer)
        elif isinstance(event, h2.events.WindowUpdated):
            self._window.set()
        elif isinstance(event, h2.events.StreamReset):
            task = self._tasks.pop(event.stream_id or 0, None)
            if task is not None:
                task.cancel()

    def _on_request(self, stream: int, headers: Pairs) -> None:
        fields = dict(headers)
        request = Request(
            method=fields[b":method"],
            path=fields[b":path"],
            authority=fields.get(b":authority", b""),
            headers=[pair for pair in headers if not pair[0].startswith(b":")],
        )
        self._requests[stream] = request
        answer = self._upstream.answer_for(request)
        for status in answer.interim:
            self._http.send_headers(stream, [(b":status", str(status).encode())])
        if answer.early:
            self._start(stream, answer)

    def _on_data(self, event: h2.events.DataReceived) -> None:
        stream = event.stream_id or 0
        self._http.acknowledge_received_data(event.flow_controlled_length or 0, stream)
        if event.data:
            self._change(stream, body=[*self._requests[stream].body, bytes(event.data)])

    def _change(
        self, stream: int, *, body: list[bytes] | None = None, trailers: Pairs = ()
    ) -> None:
        old = self._requests[stream]
        self._requests[stream] = Request(
            method=old.method,
            path=old.path,
            authority=old.authority,
            headers=old.headers,
            body=old.body if body is None else body,
            trailers=trailers or old.trailers,
        )

    def _start(self, stream: int, answer: Answer) -> None:
        self._tasks[stream] = asyncio.create_task(self._answer(stream, answer))

    async def _answer(self, stream: int, answer: Answer) -> None:
        try:
            await self._send(stream, answer)
        except (h2.exceptions.StreamClosedError, h2.exceptions.ProtocolError, ConnectionError):
            pass  # Envoy took the stream back.
        finally:
            self._requests.pop(stream, None)
            self._tasks.pop(stream, None)

    async def _send(self, stream: int, answer: Answer) -> None:
        if answer.wait is not None:
            await opened(answer.wait)
        if answer.reset == "before_headers":
            return await self._reset(stream)
        head = [(b":status", str(answer.status).encode()), *answer.headers]
        body = any(answer.body) or answer.wait_in_body is not None or answer.gates
        ends = not (body or answer.trailers or answer.reset != "never")
        self._http.send_headers(stream, head, end_stream=ends)
        await self._flush()
        if answer.reset == "after_headers":
            return await self._reset(stream)
        async for chunk in chunks(answer):
            await self._send_data(stream, chunk)
            if answer.reset == "in_body":
                await all_opened(answer.gates[1:])
                return await self._reset(stream)
        if answer.trailers:
            self._http.send_headers(stream, list(answer.trailers), end_stream=True)
        elif not ends:
            self._http.end_stream(stream)
        return await self._flush()

    async def _send_data(self, stream: int, data: bytes) -> None:
        while data:
            window = self._http.local_flow_control_window(stream)
            size = min(window, self._http.max_outbound_frame_size, len(data))
            if size <= 0:
                self._window.clear()
                await self._window.wait()
                continue
            self._http.send_data(stream, data[:size])
            data = data[size:]
            await self._flush()

    async def _reset(self, stream: int) -> None:
        self._http.reset_stream(stream, h2.errors.ErrorCodes.INTERNAL_ERROR)
        await self._flush()

    async def _flush(self) -> None:
        data = self._http.data_to_send()
        if data:
            self._writer.write(data)
            await self._writer.drain()
