import AMQPProtocol
import BrokerCore
import BrokerSimulation
import Testing

/// What has other octets for a client of version 0-8.
@Suite struct Version08Tests {
    /// A connection of 0-8 with channel 1 open, whose `open-ok` must be the last that came.
    private func makeOpen() -> (SimulatedBroker, SimulatedClient) {
        let broker = SimulatedBroker()
        let client = SimulatedClient(broker)
        client.sendBytes([65, 77, 81, 80, 1, 1, 8, 0])
        guard case .method(0, .connectionStart(let start))? = client.receive().first else {
            Issue.record("no connection.start")
            return (broker, client)
        }
        #expect(start.serverProperties["capabilities"] == .table(.empty))
        client.sendBytes(Array(SimulatedClient.greeting()[8...]))
        #expect(self.octets(broker, client).suffix(12) == [1, 0, 1, 0, 0, 0, 4, 0, 20, 0, 11, 206])
        return (broker, client)
    }

    private func octets(_ broker: SimulatedBroker, _ client: SimulatedClient) -> [UInt8] {
        broker.run()
        return broker.take(from: client.socket, .max)
    }

    @Test func closesWithItsOwnNumbers() {
        let (broker, client) = self.makeOpen()
        client.sendBytes(
            SimulatedClient.frame(type: 1, channel: 0, payload: [0, 10, 0, 60, 0, 200, 1, 120, 0, 0, 0, 0])
        )
        #expect(self.octets(broker, client) == [1, 0, 0, 0, 0, 0, 4, 0, 10, 0, 61, 206])
    }

    @Test func isClosedWithItsOwnNumbers() {
        let (broker, client) = self.makeOpen()
        client.send(ChannelOpen())
        let answer = self.octets(broker, client)
        #expect(answer.dropFirst(7).starts(with: [0, 10, 0, 60, 1, 248]))
        #expect(!client.socket.isClosed)
        client.sendBytes(SimulatedClient.frame(type: 1, channel: 0, payload: [0, 10, 0, 61]))
        #expect(self.octets(broker, client).isEmpty)
        #expect(client.socket.isClosed)
    }

    @Test func consumesWithoutArguments() {
        let (_, client) = self.makeOpen()
        #expect(client.call(QueueDeclare(queue: "q")).lines == ["1 queue.declare-ok 0 0"])
        let consume: [UInt8] = [0, 60, 0, 20, 0, 0, 1, 113, 1, 116, 2]
        client.sendBytes(SimulatedClient.frame(type: 1, channel: 1, payload: consume))
        #expect(client.receive().lines == ["1 basic.consume-ok t"])
    }

    @Test(
        arguments: [
            [0, 60, 0, 20, 0, 0, 1, 113, 1, 116], [0, 60, 0, 20, 0, 0, 1, 113, 1, 116, 2, 0],
        ] as [[UInt8]]
    )
    func refusesAConsumeThatIsTooShortOrTooLong(payload: [UInt8]) {
        let (broker, client) = self.makeOpen()
        client.sendBytes(SimulatedClient.frame(type: 1, channel: 1, payload: payload))
        #expect(self.octets(broker, client).dropFirst(7).starts(with: [0, 10, 0, 60, 1, 245]))
    }

    @Test(arguments: [[0, 85, 0, 10, 0], [0, 10, 0, 50, 0, 200, 0, 0, 0, 0, 0]] as [[UInt8]])
    func knowsNoMethodsOfLater(payload: [UInt8]) {
        let (broker, client) = self.makeOpen()
        client.sendBytes(SimulatedClient.frame(type: 1, channel: payload[1] == 10 ? 0 : 1, payload: payload))
        #expect(self.octets(broker, client).isEmpty)
        #expect(client.socket.isClosed)
    }
}
