"""HL7 with software that is not ours: python-hl7's parser, client and server."""

import asyncio

import hl7  # type: ignore[import-untyped]
from hl7.client import MLLPClient  # type: ignore[import-untyped]
from hl7.mllp import HL7StreamReader, HL7StreamWriter, start_hl7_server  # type: ignore[import-untyped]

from edges.hl7.acks import Outcome, acknowledge
from edges.hl7.client import Client, Receiver
from edges.hl7.er7 import parse_message
from edges.hl7.listener import Peer, serve
from edges.hl7.pcd01 import write_report
from edges.hl7.write import Origin
from edges.listener.access import Access
from tests.support.factories import NOW
from vitals.reading import reading

REPORT = write_report(reading(NOW, {"heart_rate": 71.0, "spo2": 97.0}), Origin("SIM", "ICU 1", "4"), "N-1", NOW)


def test_python_hl7_reads_the_fields_of_a_report() -> None:
    message = hl7.parse(REPORT)
    ours = parse_message(REPORT).segments
    assert [[str(field) for field in segment][1:] for segment in message][1:] == [
        [segment.raw(number) for number in range(1, len(segment.fields))] for segment in ours[1:]
    ]
    assert str(message.segments("OBX")[1][5]) == "71"


def test_the_client_of_python_hl7_gets_an_answer_to_each_message() -> None:
    async def handle(content: bytes, peer: Peer) -> list[bytes]:
        return acknowledge(parse_message(content), Outcome.ACCEPT, None, NOW)

    def send(port: int) -> list[str]:
        with MLLPClient("127.0.0.1", port) as client:
            return [str(hl7.parse(client.send_message(REPORT).strip(b"\x0b\x1c\r"))["MSA.F1.R1.C1"]) for _ in range(20)]

    async def story() -> None:
        async with asyncio.timeout(30), serve("127.0.0.1", 0, handle, Access()) as listener:
            assert await asyncio.to_thread(send, listener.port) == ["AA"] * 20

    asyncio.run(story())


def test_the_server_of_python_hl7_acknowledges_what_the_client_sends() -> None:
    received: list[str] = []

    async def receive(reader: HL7StreamReader, writer: HL7StreamWriter) -> None:
        while not writer.is_closing():
            try:
                message = await reader.readmessage()
            except asyncio.IncompleteReadError:
                break
            received.append(str(message))
            writer.writemessage(message.create_ack())
            await writer.drain()
        writer.close()

    async def story() -> None:
        async with (
            asyncio.timeout(30),
            await start_hl7_server(receive, "127.0.0.1", 0) as server,
            Client(Receiver(*server.sockets[0].getsockname())) as client,
        ):
            assert [(await client.send(REPORT)).code for _ in range(20)] == ["AA"] * 20

    asyncio.run(story())
    assert received == [REPORT.decode()] * 20
