import AMQPProtocol

@testable import BrokerCore

/// A trie whose bindings lead to a queue each, numbered as they came.
final class TrieScene {
    /// The trie.
    let trie = TopicTrie(seed: 11)
    private let source = Exchange(
        ExchangeDefinition(
            name: "e",
            type: .topic,
            isDurable: false,
            isAutoDelete: false,
            isInternal: false,
            arguments: .empty
        ),
        seed: 11
    )
    private var bindings: [Binding?] = []
    private var epoch: UInt64 = 0

    /// Binds the next queue.
    func bind(_ pattern: String) {
        let number = self.bindings.count
        let queue = QueueInfo(
            QueueDefinition(
                virtualHost: "/",
                name: "\(number)".short,
                address: QueueAddress(shard: 0, slot: UInt32(number), generation: 0),
                isDurable: false,
                isAutoDelete: false,
                exclusiveOwner: nil,
                arguments: .empty,
                parsedArguments: QueueArguments(),
                durableID: 0
            )
        )
        let definition = BindingDefinition(
            source: "e",
            kind: .queue,
            destination: queue.name,
            routingKey: pattern.short,
            arguments: .empty
        )
        let binding = Binding(definition, from: self.source, to: .queue(queue))
        self.trie.bind(binding)
        self.bindings.append(binding)
    }

    /// Takes a queue's binding away.
    func unbind(_ number: Int) {
        guard let binding = self.bindings[number].take() else { return }
        self.trie.unbind(binding)
    }

    /// The numbers of the queues that a key leads to; checks that the trie says whether there are any.
    func route(_ key: String) -> [Int] {
        self.epoch += 1
        var targets = RouteTargets()
        targets.begin(epoch: self.epoch)
        let isFound = Array(key.utf8).withUnsafeBytes { self.trie.route($0, into: &targets) }
        guard isFound != targets.isEmpty else { return [-1] }
        return targets.queues.map { Int($0.slot) }.sorted()
    }
}
