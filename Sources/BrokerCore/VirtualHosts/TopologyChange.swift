import AMQPProtocol

/// One step from one topology to the next, decided by the owner and applied by every replica in the same order.
///
/// A change has been checked: whatever it names is there, or not there, as it needs.
enum TopologyChange: Equatable, Sendable {
    /// A new virtual host with the predeclared exchanges.
    case addVirtualHost(ShortString)
    /// The most queues that a virtual host may have; nil is no limit.
    case limitQueues(virtualHost: ShortString, Int?)
    /// A new exchange.
    case addExchange(virtualHost: ShortString, ExchangeDefinition)
    /// An exchange goes, and with it every binding from it and to it.
    case removeExchange(virtualHost: ShortString, ShortString)
    /// A new queue.
    case addQueue(QueueDefinition)
    /// A queue that is there has other arguments; everything else is as it was.
    case alterQueue(QueueDefinition)
    /// A queue goes, and with it every binding to it.
    case removeQueue(virtualHost: ShortString, ShortString)
    /// A new binding.
    case addBinding(virtualHost: ShortString, BindingDefinition)
    /// A binding goes.
    case removeBinding(virtualHost: ShortString, BindingDefinition)
    /// A policy, new or in place of the one with its name.
    case setPolicy(virtualHost: ShortString, Policy, isOperator: Bool)
    /// A policy goes.
    case removePolicy(virtualHost: ShortString, ShortString, isOperator: Bool)
}
