import AMQPProtocol

/// Declares the queues and bindings of a run and removes them afterwards.
struct Topology: Sendable {
    /// Declarations sent before waiting for answers.
    private static let pipeline = 1_000

    let plan: LoadPlan
    let connection: ConnectionHandle

    /// Declares everything, after removing what an earlier run under this prefix may have left.
    func declare() async throws(PerfFailure) {
        try await self.remove()
        try await self.make()
    }

    /// Declares everything.
    func make() async throws(PerfFailure) {
        if !self.plan.exchangeName.isEmpty {
            try await self.connection.call(
                ExchangeDeclare(
                    exchange: self.plan.exchangeName,
                    type: ShortString(truncating: self.plan.exchange.rawValue),
                    durable: self.plan.isDurable
                )
            )
        }
        let arguments = LoadPlan.Argument.table(self.plan.queueArguments)
        try await self.callForEach(0..<self.plan.queues) { queue in
            QueueDeclare(queue: self.plan.queueName(queue), durable: self.plan.isDurable, arguments: arguments)
        }
        guard !self.plan.exchangeName.isEmpty else { return }
        try await self.callForEach(0..<self.plan.queues * self.plan.bindings) { index in
            let queue = index / self.plan.bindings
            let binding = self.plan.binding(ofQueue: queue, number: index % self.plan.bindings)
            return QueueBind(
                queue: self.plan.queueName(queue),
                exchange: self.plan.exchangeName,
                routingKey: binding.routingKey,
                arguments: binding.arguments
            )
        }
    }

    /// Deletes queues and exchange; deleting what is not there is no error.
    func remove() async throws(PerfFailure) {
        try await self.callForEach(0..<self.plan.queues) { QueueDelete(queue: self.plan.queueName($0)) }
        if !self.plan.exchangeName.isEmpty {
            try await self.connection.call(ExchangeDelete(exchange: self.plan.exchangeName))
        }
    }

    private func callForEach(
        _ range: Range<Int>,
        _ make: (Int) -> some EncodableMethod
    ) async throws(PerfFailure) {
        for start in stride(from: range.lowerBound, to: range.upperBound, by: Self.pipeline) {
            let chunk = start..<min(start + Self.pipeline, range.upperBound)
            try await self.connection.callAll(chunk.map(make))
        }
    }
}
