internal import NIOCore

/// Every limit of the driver in one place.
enum ServerLimits {
    /// Octets of a connection's first read: the protocol header is eight, and NIO keeps that first buffer for life.
    static let firstReadBytes = 512
    /// Octets of a read buffer of the loop, shared by all its plain connections.
    static let readBufferBytes = 256 * 1024
    /// Octets of a read of a connection that feeds a queue which falls behind.
    static let shortReadBytes = 16 * 1024
    /// Read buffers a loop keeps; one is in use at a time, a second one covers a handler that closes while it reads.
    static let keptReadBuffers = 2

    /// Blocks of memory this large are mapped from the system and unmapped when freed; a chunk of messages is, with the
    /// room that its alignment needs.
    static let mappedBlockBytes = 2 << 20
    /// Free memory the allocator keeps for smaller blocks: bodies of some hundred kilobytes come and go all the time.
    static let keptFreeBytes = 32 << 20

    /// Octets without live messages that the commit log gets before what can go of it goes.
    static let trimmedLogBytes: UInt64 = 64 << 20
    /// Octets of the commit log, besides twice those of live messages, above which live messages of the oldest files are
    /// told again.
    static let trimmedSlackBytes: UInt64 = 256 << 20
    /// How often it is asked whether it is time, besides after commits.
    static let trimMilliseconds: Int64 = 500

    /// Octets of a small output block: answers, acks, heartbeats.
    static let smallBlockBytes = 4 * 1024
    /// Octets of a large output block: deliveries.
    static let largeBlockBytes = 128 * 1024
    /// Small output blocks a loop keeps.
    static let keptSmallBlocks = 64
    /// Large output blocks a loop keeps.
    static let keptLargeBlocks = 8

    /// Unsent octets below which a socket counts as writable again.
    static let lowWatermarkBytes = 64 * 1024
    /// Unsent octets above which a socket is given no more.
    static let highWatermarkBytes = 128 * 1024

    /// Blocks of output written in one turn before other sockets of the loop are looked at again.
    static let outputsPerTurn = 64
    /// Time for sockets between two pieces of what takes long.
    static let pauseBetweenPieces = TimeAmount.milliseconds(1)
    /// Shortest time between two wake-ups for timers.
    ///
    /// Messages leave on time to a millisecond; only deadlines that are there wake a loop.
    static let timerGranularityNanoseconds: UInt64 = 1_000_000
    /// Time after which a loop looks at the time of day again.
    static let wallClockMilliseconds: UInt64 = 60_000

    /// Time beyond its due moment in which a closing socket may still take what is pending.
    static let closeGraceMilliseconds: UInt64 = 3_000
    /// Time clients have for `connection.close-ok` when the broker stops.
    static let stopGraceMilliseconds: UInt64 = 3_000

    /// Connections the kernel queues before they are accepted.
    static let backlog: Int32 = 4_096
    /// Connections accepted per wake-up of a listener.
    static let acceptsPerRead: UInt = 64
    /// Time without accepting after the process has run out of descriptors.
    static let acceptPauseMilliseconds: UInt64 = 1_000

    /// Clients of the control socket served at once.
    static let controlConnections = 16
    /// Clients of the control socket the kernel queues.
    static let controlBacklog: Int32 = 16
    /// Octets of a request on the control socket.
    static let controlRequestBytes = 64 * 1024
    /// Octets read at once from the control socket.
    static let controlReadBytes = 4 * 1024
    /// Octets of an answer on the control socket written at once.
    static let controlWriteBytes = 64 * 1024
    /// Columns of a list on the control socket.
    static let controlColumns = 64
    /// Time that a client of the control socket has to say what it wants.
    static let controlRequestTime = TimeAmount.seconds(10)
    /// Time after which a client of the control socket is told that its request is being worked on.
    static let controlWorking = Duration.seconds(1)
    /// Time without an octet in or out after which a client of the control socket is cut off.
    ///
    /// An answer may take long, because it waits for the disk; how long a client waits is its own choice.
    static let controlIdle = TimeAmount.minutes(10)

    /// Ports tried until one is free on every listen address, with port 0.
    static let portAttempts = 10
}
