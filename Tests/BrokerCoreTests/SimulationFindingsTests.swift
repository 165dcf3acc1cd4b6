import AMQPProtocol
import BrokerCore
import BrokerSimulation
import Testing

/// Bugs that seeds of the simulation have found, each as the shortest way to it.
@Suite struct SimulationFindingsTests {
    /// A declaration that is under way when its connection breaks.
    @Test(arguments: [(1, 0), (2, 0), (2, 1), (3, 2)])
    func exclusiveQueueGoesWithAConnectionThatBreaksWhileDeclaring(shards: Int, shard: Int) {
        let broker = SimulatedBroker(shardCount: shards)
        let owner = SimulatedClient(broker, shard: shard).open()
        owner.send(QueueDeclare(queue: "q", exclusive: true))
        broker.readAll(owner.socket)
        owner.disconnect()
        broker.run()
        #expect(broker.shards.map(\.census.queues) == Array(repeating: 0, count: shards))
    }
}
