import AMQPProtocol
import BrokerCore
import BrokerSimulation
import Testing

/// Frames that are of no use in themselves are refused before anybody asks whether they are in their place.
@Suite struct MalformedFrameTests {
    struct Case: Sendable {
        let type: UInt8
        let payload: [UInt8]
        let text: String
    }

    private static let cases = [
        Case(type: 2, payload: [], text: "type 2, all octets = <<>>: unknown_frame"),
        Case(type: 2, payload: [0, 60, 1], text: "type 2, all octets = <<0,60,1>>: unknown_frame"),
        Case(type: 1, payload: Array("abc".utf8), text: "type 1, all octets = <<\"abc\">>: unknown_frame"),
        Case(type: 8, payload: Array("x".utf8), text: "type 8, all octets = <<\"x\">>: unknown_frame"),
        Case(
            type: 9,
            payload: [UInt8](repeating: 7, count: 17),
            text: "type 9, first 16 octets = <<7,7,7,7,7,7,7,7,7,7,7,7,7,7,7,7>>: unknown_frame"
        ),
        Case(
            type: 9,
            payload: [UInt8](repeating: 128, count: 17),
            text: "type 9, first 16 octets = <<128,128,128,128,128,128,128,128,128,128,128,128,\n"
                + "                            128,128,128,128>>: unknown_frame"
        ),
    ]

    private func refusal(_ client: SimulatedClient) -> String? {
        for received in client.receive() {
            if case .method(0, .connectionClose(let close)) = received {
                return String(decoding: close.replyText.bytes, as: UTF8.self)
            }
        }
        return nil
    }

    @Test(arguments: Self.cases, [false, true])
    func isRefusedWhereverItComes(frame: Case, isContentBegun: Bool) {
        let client = SimulatedClient(SimulatedBroker())
        client.open()
        if isContentBegun {
            client.send(BasicPublish(exchange: "", routingKey: "q"))
        }
        client.sendBytes(SimulatedClient.frame(type: frame.type, channel: 1, payload: frame.payload))
        #expect(self.refusal(client) == "FRAME_ERROR - " + frame.text)
    }

    @Test func closeOkIsWaitedForNoLongerThanItTakes() {
        let client = SimulatedClient(SimulatedBroker())
        client.open()
        client.sendBytes(SimulatedClient.frame(type: 9, channel: 1, payload: []))
        #expect(self.refusal(client) != nil)
        #expect(!client.socket.isClosed)
        #expect(client.call(ConnectionCloseOk(), channel: 0).isEmpty)
        #expect(client.socket.isClosed)
    }

    @Test func propertiesAreMissingInAHeaderOfTwelveOctets() {
        let client = SimulatedClient(SimulatedBroker())
        client.open()
        client.send(BasicPublish(exchange: "", routingKey: "q"))
        client.sendBytes(
            SimulatedClient.frame(type: 2, channel: 1, payload: [0, 60] + [UInt8](repeating: 0, count: 10))
        )
        #expect(self.refusal(client) == "INTERNAL_ERROR")
    }

    @Test func theOctetsThatCameAreTold() {
        let client = SimulatedClient(SimulatedBroker())
        client.open()
        var bytes = SimulatedClient.frame(type: 3, channel: 1, payload: [200])
        bytes[bytes.count - 1] = 9
        client.sendBytes(bytes)
        for received in client.receive() {
            if case .method(0, .connectionClose(let close)) = received {
                let text = Array("FRAME_ERROR - type 3, all octets = <<\"".utf8) + [200]
                #expect(close.replyText.bytes == text + Array("\">>: {invalid_frame_end_marker,9}".utf8))
                return
            }
        }
        Issue.record("no connection.close")
    }
}
