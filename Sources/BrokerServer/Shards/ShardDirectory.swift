internal import BrokerCore
internal import BrokerStore
internal import Logging
internal import NIOCore
internal import NIOPosix
internal import NIOSSL

/// All event loops of the broker with what each owns; what listeners need to hand over a socket.
struct ShardDirectory: Sendable {
    let group: MultiThreadedEventLoopGroup
    let loops: [NIOLoopBound<ShardLoop>]
    private let byEventLoop: [ObjectIdentifier: NIOLoopBound<ShardLoop>]
    private let mailboxes: [Mailbox<ShardBatch>]
    let durableLog: DurableLog?
    private let logger: Logger

    /// Starts the loops and makes a shard on each; all exist before the first connection is accepted.
    ///
    /// With a data directory they go on with what it holds; `onFailure` is called when it cannot be written any more.
    static func start(
        _ options: ServerOptions,
        logger: Logger,
        onFailure: @escaping @Sendable (StoreError) -> Void = { _ in }
    ) async throws -> ShardDirectory {
        let settings = options.broker.with(isDurable: options.dataDirectory != nil)
        let group = MultiThreadedEventLoopGroup(numberOfThreads: max(1, options.shards))
        let eventLoops = Array(group.makeIterator())
        let mailboxes = eventLoops.map { Mailbox<ShardBatch>(eventLoop: $0) }
        let authenticator = InternalAuthenticator(users: [(options.defaultUser, options.defaultPassword)])
        var loops: [NIOLoopBound<ShardLoop>] = []
        for (index, eventLoop) in eventLoops.enumerated() {
            let loop = try await eventLoop.submit {
                NIOLoopBound(
                    ShardLoop(
                        index: index,
                        eventLoop: eventLoop,
                        mailboxes: mailboxes,
                        settings: settings,
                        authenticator: authenticator,
                        logger: logger
                    ),
                    eventLoop: eventLoop
                )
            }.get()
            loops.append(loop)
        }
        for (mailbox, loop) in zip(mailboxes, loops) {
            mailbox.open { batches in
                loop.value.apply(batches)
            }
        }
        let durableLog: DurableLog?
        do {
            durableLog = try await self.startLog(options, loops, logger, onFailure)
        } catch {
            try? await group.shutdownGracefully()
            throw error
        }
        return ShardDirectory(
            group: group,
            loops: loops,
            byEventLoop: Dictionary(
                zip(eventLoops.map { ObjectIdentifier($0) }, loops),
                uniquingKeysWith: { first, _ in first }
            ),
            mailboxes: mailboxes,
            durableLog: durableLog,
            logger: logger
        )
    }

    /// Reads the log, gives every loop its part of it, and begins to write.
    private static func startLog(
        _ options: ServerOptions,
        _ loops: [NIOLoopBound<ShardLoop>],
        _ logger: Logger,
        _ onFailure: @escaping @Sendable (StoreError) -> Void
    ) async throws -> DurableLog? {
        guard let path = options.dataDirectory, let first = loops.first else { return nil }
        var progress = RecoveryProgress(logger)
        let opened = try DurableLog.open(path, logger, &progress)
        let state = opened.state
        let plan = try await first.eventLoop.submit { first.value.planRestore(state) }.get()
        for complaint in plan.complaints {
            logger.error("\(complaint)")
        }
        for loop in loops {
            try await loop.eventLoop.submit { loop.value.restore(plan) }.get()
        }
        logger.info("recovered \(plan.queueCount) queues with \(plan.messageCount) messages in \(progress.elapsed)")
        let log = DurableLog.start(
            opened,
            options: options,
            logger: logger,
            onDiskAlarm: { isSet in
                for loop in loops {
                    loop.eventLoop.execute { loop.value.setDiskAlarm(isSet) }
                }
            },
            onCommitted: { shard, number, position in
                loops[shard].eventLoop.execute { loops[shard].value.logCommitted(upTo: number, at: position) }
            },
            onFailure: onFailure
        )
        let pager = Pager(log: log.reader, directory: log.path, shards: loops.count, logger: logger) { shard, answer in
            loops[shard].eventLoop.execute { loops[shard].value.pageDone(answer) }
        }
        for loop in loops {
            try await loop.eventLoop.submit {
                loop.value.durableLog = log
                loop.value.pager = pager
                loop.value.onTrimDue = {
                    Task {
                        await self.trim(log, loops, logger)
                    }
                }
                loop.value.startTrimTimer()
            }.get()
        }
        return log
    }

    /// Has the loops count what is live in each file of the log, then one after the other tell again what of it must be,
    /// shard 0 with the topology first, and lets older files go.
    private static func trim(
        _ log: DurableLog,
        _ loops: [NIOLoopBound<ShardLoop>],
        _ logger: Logger
    ) async {
        do {
            let files = log.reader.filePositions
            var live = Array(repeating: 0, count: files.count)
            var firstUnread = Int.max
            for loop in loops {
                var census: LogCensus?
                while census == nil {
                    census = try await loop.eventLoop.submit { loop.value.continueLogCensus(files) }.get()
                }
                live = zip(live, census?.octets ?? []).map { $0 + $1 }
                firstUnread = min(firstUnread, census?.firstUnread ?? .max)
            }
            var plan = log.planTrim(files: files, live: live, firstUnread: firstUnread)
            if let told = plan {
                for loop in loops {
                    try await self.tell(loop, told)
                    let needed = try await loop.eventLoop.submit { loop.value.neededLogPosition }.get()
                    plan = plan?.kept(from: needed ?? .max)
                }
            }
            if let plan {
                logger.debug("trimmed the commit log up to \(plan.position), \(plan.toldOctets) octets told again")
            }
            log.endTrim(plan)
        } catch {
            // The broker stops; the log stays as it is.
            logger.debug("the commit log is not trimmed: \(error)")
        }
    }

    /// Has one loop tell the log again what is live, until that is durable.
    private static func tell(_ loop: NIOLoopBound<ShardLoop>, _ plan: TrimPlan) async throws {
        try await loop.eventLoop.submit {
            loop.value.beginSnapshot(upTo: plan.position, tellsMessages: plan.toldOctets > 0)
        }.get()
        while true {
            switch try await loop.eventLoop.submit({ loop.value.continueSnapshot() }).get() {
            case .done:
                try await loop.eventLoop.flatSubmit { loop.value.whenCommitted() }.get()
                return
            case .more:
                // What was told may leave memory only when it is durable.
                try await loop.eventLoop.flatSubmit { loop.value.whenCommitted() }.get()
            case .waiting:
                try await Task.sleep(for: .milliseconds(1))
            }
        }
    }

    /// Makes an accepted socket a connection of the loop it was registered on; call it there.
    func adopt(_ channel: any Channel, tls: NIOSSLContext?) throws {
        guard let loop = self.byEventLoop[ObjectIdentifier(channel.eventLoop)]?.value else {
            preconditionFailure("a connection on a loop that is not the broker's")
        }
        let handler = ConnectionHandler(loop: loop, isTLS: tls != nil)
        if let options = channel.syncOptions {
            try options.setOption(.maxMessagesPerRead, value: 1)
            try options.setOption(
                .writeBufferWaterMark,
                value: .init(low: ServerLimits.lowWatermarkBytes, high: ServerLimits.highWatermarkBytes)
            )
            try options.setOption(.tcpOption(.tcp_nodelay), value: 1)
            try options.setOption(.socketOption(.so_keepalive), value: 1)
            if tls == nil {
                // TLS keeps what it reads until it is decrypted, so it gets buffers of its own.
                try options.setOption(.recvAllocator, value: LoopRecvAllocator(loop.readBuffers, handler.appetite))
                try options.setOption(.allowRemoteHalfClosure, value: true)
            }
        }
        let pipeline = channel.pipeline.syncOperations
        if let tls {
            try pipeline.addHandler(NIOSSLServerHandler(context: tls))
        }
        try pipeline.addHandler(handler)
    }

    /// Tells all clients that the broker stops and waits for them, for a few seconds at most.
    func stop() async {
        let stopping = self.loops.map { loop in
            loop.eventLoop.flatSubmit { loop.value.stop() }
        }
        for future in stopping {
            try? await future.get()
        }
        // What clients were not told yet is written all the same; nothing new comes any more.
        self.durableLog?.stop(self.logger)
        if let first = self.loops.first {
            try? await first.eventLoop.submit { first.value.pager?.stop() }.get()
        }
        for (mailbox, loop) in zip(self.mailboxes, self.loops) {
            mailbox.close()
            try? await loop.eventLoop.submit { loop.value.shutdown() }.get()
        }
    }

    /// Number of connections on each loop.
    func connectionCounts() async -> [Int] {
        var counts: [Int] = []
        for loop in self.loops {
            counts.append((try? await loop.eventLoop.submit { loop.value.connectionCount }.get()) ?? 0)
        }
        return counts
    }
}
