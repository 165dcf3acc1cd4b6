public import AMQPProtocol

/// Something an operator asks of the broker: by command line today, by HTTP tomorrow.
///
/// The front end gives it to shard 0, or to every shard where ``isForAllShards`` says so, and gathers the answers.
public enum AdministrationRequest: Sendable {
    /// A new policy, or another one with its name.
    case setPolicy(PolicyRequest, isOperator: Bool)
    /// A policy goes.
    case clearPolicy(virtualHost: String, name: String, isOperator: Bool)
    /// The policies of a virtual host, or of all.
    case listPolicies(virtualHost: String?, isOperator: Bool)
    /// The queues of a virtual host, or of all, that live on the shard.
    case listQueues(virtualHost: String?)
    /// The exchanges of a virtual host, or of all.
    case listExchanges(virtualHost: String?)
    /// The bindings of a virtual host, or of all, those of the default exchange included.
    case listBindings(virtualHost: String?)
    /// The names of the virtual hosts.
    case listVirtualHosts

    /// Whether every shard has a part of the answer.
    public var isForAllShards: Bool {
        switch self {
        case .listQueues: true
        case .setPolicy, .clearPolicy, .listPolicies, .listExchanges, .listBindings, .listVirtualHosts: false
        }
    }
}

/// A policy as it is asked for.
public struct PolicyRequest: Sendable {
    /// The virtual host it is to govern.
    public var virtualHost: String
    /// Its name.
    public var name: String
    /// A regular expression that is found in the names of what it governs.
    public var pattern: String
    /// The kinds of things it governs, in RabbitMQ's word.
    public var applyTo: String
    /// Of several policies that match, the one of highest priority counts.
    public var priority: Int64
    /// What it says.
    public var definition: FieldTable

    /// Asks for a policy.
    public init(
        virtualHost: String,
        name: String,
        pattern: String,
        applyTo: String = "all",
        priority: Int64 = 0,
        definition: FieldTable
    ) {
        self.virtualHost = virtualHost
        self.name = name
        self.pattern = pattern
        self.applyTo = applyTo
        self.priority = priority
        self.definition = definition
    }
}

/// What comes of an ``AdministrationRequest``.
public enum AdministrationAnswer: Sendable, Equatable {
    /// It is done: on every shard, and in the log if there is one.
    case done
    /// It is not, and nothing has changed.
    case failed(AdministrationFailure)
    /// Policies, those that count first in front.
    case policies([PolicySnapshot])
    /// Queues by virtual host and name.
    case queues([QueueSnapshot])
    /// Exchanges by virtual host and name.
    case exchanges([ExchangeSnapshot])
    /// Bindings by virtual host.
    case bindings([BindingSnapshot])
    /// Names.
    case names([String])
}

/// Why a request was not carried out.
public enum AdministrationFailure: Error, Sendable, Equatable {
    /// There is no virtual host of that name.
    case noVirtualHost(String)
    /// What it names is not there; with the words for a person.
    case notFound(String)
    /// What it asks for makes no sense; with the words for a person.
    case invalid(String)
    /// It cannot be carried out now; with the words for a person.
    case unavailable(String)
    /// It would make more of something than there may be; with the words for a person.
    case limit(String)
}
