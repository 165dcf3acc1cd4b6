import AMQPProtocol
import BrokerCore
import BrokerSimulation
import Testing

/// How many consumers a channel may have.
@Suite struct ConsumerLimitTests {
    @Test func theLimitIsTheChannels() {
        var settings = BrokerSettings()
        settings.consumerMaxPerChannel = 2
        let client = SimulatedClient(SimulatedBroker(settings: settings)).open()
        client.call(QueueDeclare(queue: "q"))
        for tag in ["a", "b"] as [ShortString] {
            #expect(client.call(BasicConsume(queue: "q", consumerTag: tag)).lines == ["1 basic.consume-ok \(tag)"])
        }
        // Another channel counts for itself, and one that was cancelled does not count.
        client.call(ChannelOpen(), channel: 2)
        #expect(client.call(BasicConsume(queue: "q", consumerTag: "a"), channel: 2).lines == ["2 basic.consume-ok a"])
        client.call(BasicCancel(consumerTag: "a"))
        #expect(client.call(BasicConsume(queue: "q", consumerTag: "c")).lines == ["1 basic.consume-ok c"])
        #expect(
            client.call(BasicConsume(queue: "q", consumerTag: "d")).lines == [
                "0 connection.close 530 NOT_ALLOWED - reached maximum (2) of consumers per channel (60/20)"
            ]
        )
    }
}
