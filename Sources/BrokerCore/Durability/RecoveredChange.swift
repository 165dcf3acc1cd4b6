import AMQPProtocol

/// A ``TopologyChange`` as the commit log keeps it.
///
/// A queue has a number instead of an address, because places are given anew on every start.
enum RecoveredChange: Equatable, Sendable {
    /// A new virtual host.
    case addVirtualHost(ShortString)
    /// The most queues that a virtual host may have; nil is no limit.
    case limitQueues(virtualHost: ShortString, Int?)
    /// A new durable exchange.
    case addExchange(virtualHost: ShortString, ExchangeDefinition)
    /// A durable exchange goes with its bindings.
    case removeExchange(virtualHost: ShortString, ShortString)
    /// A new durable queue, or one that is there with other arguments.
    case addQueue(DurableQueue)
    /// A durable queue goes with its bindings and messages.
    case removeQueue(virtualHost: ShortString, ShortString, durableID: UInt64)
    /// A new binding between what is durable.
    case addBinding(virtualHost: ShortString, BindingDefinition)
    /// A binding goes.
    case removeBinding(virtualHost: ShortString, BindingDefinition)
    /// A policy, new or in place of the one with its name.
    case setPolicy(virtualHost: ShortString, Policy, isOperator: Bool)
    /// A policy goes.
    case removePolicy(virtualHost: ShortString, ShortString, isOperator: Bool)
}
