import AMQPProtocol
import BrokerSimulation

extension SimulatedClient {
    /// Takes everything out of a queue; returns the bodies as text, in order.
    func drain(_ queue: ShortString = "q") -> [String] {
        var bodies: [String] = []
        while let text = self.call(BasicGet(queue: queue, noAck: true)).first?.text { bodies.append(text) }
        return bodies
    }

    /// Ready messages of a queue; nil if it cannot be declared passively.
    func depth(of queue: ShortString = "q") -> UInt32? {
        guard case .method(_, .queueDeclareOk(let ok))? = self.call(QueueDeclare(queue: queue, passive: true)).first
        else {
            return nil
        }
        return ok.messageCount
    }
}

extension SimulatedBroker {
    /// Takes everything out of a queue when nothing moves any more, as a client that has just come.
    func drain(_ queue: ShortString = "q") -> [String] {
        self.run()
        return SimulatedClient(self).open().drain(queue)
    }
}
