import AMQPProtocol
import BrokerCore
import BrokerSimulation
import Testing

/// What a commit makes of mandatory messages; as `Routing.basicReturnTransactional` of the Java client has it.
@Suite struct TransactionTests {
    private func client(_ placement: (shards: Int, shard: Int)) -> SimulatedClient {
        let client = SimulatedClient(SimulatedBroker(shardCount: placement.shards), shard: placement.shard).open()
        client.call(QueueDeclare(queue: "q"))
        // The route is known before the transaction begins.
        client.publish(routingKey: "q", body: [1])
        client.call(QueuePurge(queue: "q"))
        client.call(TxSelect())
        return client
    }

    @Test(arguments: [(1, 0), (2, 0), (2, 1)])
    func isReturnedByTheCommitWhenItsQueueIsGoneByThen(placement: (shards: Int, shard: Int)) {
        let client = self.client(placement)
        client.publish(routingKey: "q", mandatory: true, body: Array("m".utf8))
        client.publish(routingKey: "q", body: Array("not mandatory".utf8))
        #expect(client.receive().isEmpty)
        client.call(QueueDelete(queue: "q"))
        let answers = client.call(TxCommit()).lines
        #expect(answers.map { String($0.prefix(12)) } == ["1 return 312", "1 tx.commit-"])
    }

    @Test(arguments: [(1, 0), (2, 0), (2, 1)])
    func isNotReturnedWhileOneOfItsQueuesIsThere(placement: (shards: Int, shard: Int)) {
        let client = self.client(placement)
        client.call(QueueDeclare(queue: "r"))
        for queue in ["q", "r"] as [ShortString] {
            client.call(QueueBind(queue: queue, exchange: "amq.fanout", routingKey: ""))
        }
        client.publish(exchange: "amq.fanout", routingKey: "", mandatory: true, body: [2])
        client.call(QueueDelete(queue: "q"))
        #expect(client.call(TxCommit()).lines == ["1 tx.commit-ok"])
        #expect(client.call(QueueDeclare(queue: "r", passive: true)).lines == ["1 queue.declare-ok 1 0"])
    }
}
