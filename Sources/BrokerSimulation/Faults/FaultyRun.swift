internal import BrokerStore

/// A run of a broker to which things happen: it ends and starts again, its disk fails.
///
/// What happens is the same for every kind of run; who watches and what its clients do is not.
protocol FaultyRun: AnyObject {
    var random: SeededRandom { get }
    var plan: SimulationPlan { get }
    /// What outlives brokers.
    var disk: SimulatedFileSystem { get }
    /// The broker of the current life.
    var broker: SimulatedBroker { get set }
    /// What has happened to broker and disk, and how often.
    var faultCounts: [Fault: Int] { get set }
    /// The step at which the disk is well again.
    var diskIsWellAt: Int { get set }
    /// Who tells lies about what lies around the broker.
    var liar: Liar { get }
    /// What the log says of how often messages have come back must be what the broker says.
    var comparesCounts: Bool { get }
    /// The current step.
    var step: Int { get }
    /// What contradicts the model, if anything does.
    var failure: String? { get }

    /// Notes what happens.
    func note(_ line: String)
    /// Notes a contradiction.
    func fail(_ text: String)
    /// One of the clients takes what its socket has.
    func somebodyReads()
    /// Some clients take what their sockets have: what was sent may still arrive.
    func someRead()
    /// All clients are told that the broker stops.
    func sayGoodbye()
    /// The broker is gone, and its clients' connections with it.
    func brokerEnded(inOrder: Bool)
    /// Another broker is there.
    func brokerStarted()
}
