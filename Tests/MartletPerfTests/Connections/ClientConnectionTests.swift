import AMQPProtocol
import Histogram
import NIOCore
import NIOEmbedded
import Synchronization
import Testing

@testable import MartletPerf

/// A client connection without a socket; the test plays the server.
private final class Rig {
    let channel = EmbeddedChannel()
    let connection: ClientConnection
    let opened: EventLoopFuture<ClientConnection.ServerFacts>
    let failures: FailureLog
    private let time = Time()

    final class Time {
        var now: UInt64 = 0
    }

    /// The clock of the connection, in nanoseconds.
    var now: UInt64 {
        get { self.time.now }
        set { self.time.now = newValue }
    }

    final class FailureLog: Sendable {
        private let box = Mutex<[PerfFailure]>([])
        var all: [PerfFailure] { self.box.withLock { $0 } }
        func add(_ failure: PerfFailure) { self.box.withLock { $0.append(failure) } }
    }

    init(address: ServerAddress = ServerAddress()) throws {
        let opened = self.channel.eventLoop.makePromise(of: ClientConnection.ServerFacts.self)
        let log = FailureLog()
        self.failures = log
        self.opened = opened.futureResult
        self.connection = ClientConnection(
            address: address,
            opened: opened,
            ended: self.channel.eventLoop.makePromise(),
            clock: { [time] in time.now },
            onFailure: { log.add($0) }
        )
        try self.channel.pipeline.syncOperations.addHandler(self.connection)
        try self.channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 5672)).wait()
    }

    func receive(_ bytes: [UInt8]) throws {
        try self.channel.writeInbound(ByteBuffer(bytes: bytes))
    }

    func receive(_ method: some EncodableMethod, channel: UInt16 = 1) throws {
        try self.receive(Frames.method(method, channel: channel))
    }

    /// What the client has sent since the last call.
    func sent() throws -> [UInt8] {
        var bytes: [UInt8] = []
        while let buffer = try self.channel.readOutbound(as: ByteBuffer.self) {
            bytes += Array(buffer.readableBytesView)
        }
        return bytes
    }

    func sentMethods() throws -> [AMQPProtocol.Method] {
        let parsed = ParsedFrames(try self.sent())
        #expect(parsed.rest.isEmpty)
        return try parsed.frames.map { try ParsedFrames.method($0) }
    }

    func open(frameMax: UInt32 = 131_072) throws {
        let properties = FieldTable([("product", .string("Broker")), ("version", .string("9"))])
        try self.receive(ConnectionStart(serverProperties: properties), channel: 0)
        try self.receive(ConnectionTune(channelMax: 10, frameMax: frameMax, heartbeat: 60), channel: 0)
        try self.receive(ConnectionOpenOk(), channel: 0)
        try self.receive(ChannelOpenOk())
        _ = try self.sent()
    }
}

@Suite struct ClientConnectionTests {
    @Test func logsIn() throws {
        let rig = try Rig(address: ServerAddress(user: "me", password: "secret", virtualHost: "/v"))
        #expect(try rig.sent() == [0x41, 0x4D, 0x51, 0x50, 0, 0, 9, 1])
        try rig.receive(
            ConnectionStart(serverProperties: FieldTable([("product", .string("B")), ("version", .string("9"))])),
            channel: 0
        )
        guard case .connectionStartOk(let startOk) = try rig.sentMethods().first else {
            Issue.record("no start-ok")
            return
        }
        #expect(startOk.mechanism == "PLAIN")
        #expect(startOk.response == [0] + Array("me".utf8) + [0] + Array("secret".utf8))
        try rig.receive(ConnectionTune(channelMax: 7, frameMax: 8192, heartbeat: 0), channel: 0)
        let tuned = try rig.sentMethods()
        guard tuned.count == 2, case .connectionTuneOk(let tuneOk) = tuned[0], case .connectionOpen(let open) = tuned[1]
        else {
            Issue.record("no tune-ok and open")
            return
        }
        #expect(tuneOk == ConnectionTuneOk(channelMax: 7, frameMax: 8192, heartbeat: 0))
        #expect(open.virtualHost == "/v")
        try rig.receive(ConnectionOpenOk(), channel: 0)
        #expect(try rig.sentMethods().map { $0.id } == [ChannelOpen.id])
        try rig.receive(ChannelOpenOk())
        #expect(try rig.opened.wait() == .init(product: "B", version: "9"))
        #expect(rig.connection.frameMaxBytes == 8192)
    }

    @Test func answersCallsInOrder() throws {
        let rig = try Rig()
        try rig.open()
        let first = rig.connection.call(QueueDeclare(queue: "a"))
        let second = rig.connection.call(QueueDelete(queue: "b"))
        #expect(try rig.sentMethods().map { $0.id } == [QueueDeclare.id, QueueDelete.id])
        try rig.receive(QueueDeclareOk(queue: "a"))
        try rig.receive(QueueDeleteOk(messageCount: 3))
        #expect(try first.wait().id == QueueDeclareOk.id)
        #expect(try second.wait().id == QueueDeleteOk.id)
        #expect(rig.failures.all.isEmpty)
    }

    @Test func tellsWhyTheServerClosed() throws {
        for isChannel in [true, false] {
            let rig = try Rig()
            try rig.open()
            let call = rig.connection.call(QueueDeclare(queue: "a"))
            _ = try rig.sent()
            if isChannel {
                try rig.receive(ChannelClose(replyCode: 406, replyText: "PRECONDITION_FAILED - x"))
            } else {
                try rig.receive(ConnectionClose(replyCode: 320, replyText: "CONNECTION_FORCED"), channel: 0)
            }
            let failure = PerfFailure.serverClosed(
                scope: isChannel ? .channel : .connection,
                code: isChannel ? 406 : 320,
                text: isChannel ? "PRECONDITION_FAILED - x" : "CONNECTION_FORCED"
            )
            #expect(throws: failure) { try call.wait() }
            #expect(rig.failures.all == [failure])
            #expect(try rig.sentMethods().map { $0.id } == [isChannel ? ChannelCloseOk.id : ConnectionCloseOk.id])
        }
    }

    @Test func refusesWhatIsNoHandshake() throws {
        let answers: [[UInt8]] = [
            Array("AMQP".utf8) + [0, 1, 0, 0],
            Frames.method(QueueDeclareOk(), channel: 0),
            Frames.method(ConnectionTune(channelMax: 0, frameMax: 100, heartbeat: 0), channel: 0),
            Frames.frame(1, [0, 99, 0, 99]),
            Array("HTTP/1.1 400 Bad Request".utf8),
        ]
        for answer in answers {
            let rig = try Rig()
            try rig.receive(answer)
            let error = #expect(throws: PerfFailure.self) { try rig.opened.wait() }
            guard case .protocolError = error else {
                Issue.record("\(String(describing: error)) for \(answer)")
                continue
            }
        }
    }

    @Test func noticesALostSocket() throws {
        let rig = try Rig()
        try rig.open()
        try rig.channel.close().wait()
        #expect(rig.failures.all == [.connectionLost("the server closed the socket")])
        #expect(throws: PerfFailure.self) { try rig.connection.call(QueueDelete(queue: "a")).wait() }
    }

    @Test func closesInGoodOrder() throws {
        let rig = try Rig()
        try rig.open()
        rig.connection.close()
        #expect(try rig.sentMethods().map { $0.id } == [ConnectionClose.id])
        try rig.receive(ConnectionCloseOk(), channel: 0)
        #expect(!rig.channel.isActive)
        #expect(rig.failures.all.isEmpty)
    }

    @Test func reportsACancelledConsumer() throws {
        let rig = try Rig()
        try rig.open()
        try rig.receive(BasicCancel(consumerTag: "0"))
        #expect(rig.failures.all == [.consumerCancelled(tag: "0")])
    }

    @Test func sendsHeartbeatsAndMissesThem() throws {
        let rig = try Rig()
        let heartbeat: [UInt8] = [8, 0, 0, 0, 0, 0, 0, 0xCE]
        try rig.open()
        // The interval is 60 s: one half-way, and one each half after that.
        for _ in 0..<4 {
            rig.now += 30_000_000_000
            rig.channel.embeddedEventLoop.advanceTime(by: .seconds(30))
            #expect(try rig.sent() == heartbeat)
        }
        try rig.receive(heartbeat)
        for _ in 0..<4 {
            rig.now += 30_000_000_000
            rig.channel.embeddedEventLoop.advanceTime(by: .seconds(30))
        }
        #expect(rig.failures.all.isEmpty)
        rig.now += 30_000_000_000
        rig.channel.embeddedEventLoop.advanceTime(by: .seconds(30))
        #expect(rig.failures.all == [.connectionLost("no heartbeat from the server")])
        #expect(!rig.channel.isActive)
    }
}

@Suite struct PublisherAndConsumerTests {
    /// A publisher and a consumer on one loop, with the test as the server between them.
    private final class Bench {
        let loop: LoadLoop
        let state = RunState(loops: 1)
        let publishing: Rig
        let consuming: Rig

        init(_ plan: LoadPlan) throws {
            self.publishing = try Rig()
            self.consuming = try Rig()
            try self.publishing.open()
            try self.consuming.open()
            self.loop = LoadLoop(
                plan: plan,
                state: self.state,
                index: 0,
                eventLoop: self.publishing.channel.embeddedEventLoop
            )
            let publisher = Publisher(id: 0, connection: self.publishing.connection, loop: self.loop)
            self.loop.add(publisher)
            self.publishing.connection.role = .publisher(publisher)
            let consumer = Consumer(id: 0, connection: self.consuming.connection, loop: self.loop)
            self.loop.add(consumer)
            self.consuming.connection.role = .consumer(consumer)
            self.state.isRecording.store(true, ordering: .relaxed)
        }

        func run() {
            self.loop.wake()
            self.publishing.channel.embeddedEventLoop.run()
        }

        /// The bodies published since the last call.
        func bodies() throws -> [[UInt8]] {
            ParsedFrames(try self.publishing.sent()).frames.filter { $0.type == FrameType.body }.map { $0.payload }
        }

        /// Delivers a body to the consumer.
        func deliver(_ body: [UInt8], tag: UInt64, redelivered: Bool = false) throws {
            let deliver = BasicDeliver(consumerTag: "0", deliveryTag: tag, redelivered: redelivered)
            try self.consuming.receive(Frames.method(deliver) + Frames.content(body))
        }
    }

    private func makePlan(count: UInt64, _ set: (inout LoadPlan) -> Void = { _ in }) -> LoadPlan {
        var plan = LoadPlan()
        plan.length = .count(count)
        set(&plan)
        return plan
    }

    @Test func publishesConsumesAndSettles() throws {
        let bench = try Bench(self.makePlan(count: 10))
        bench.state.phase.store(.running, ordering: .relaxed)
        bench.run()
        let frames = ParsedFrames(try bench.publishing.sent()).frames
        let bodies = frames.filter { $0.type == FrameType.body }.map { $0.payload }
        #expect(bodies.count == 10)
        for (index, body) in bodies.enumerated() {
            try bench.deliver(body, tag: UInt64(index + 1))
        }
        #expect(bench.state.sum(\.published) == 10)
        #expect(bench.state.sum(\.consumed) == 10)
        // Behind the last message went the call that tells when the server has taken everything.
        let sync = try #require(frames.last)
        #expect(try ParsedFrames.method(sync).id == QueueDeclare.id)
        #expect(bench.state.sum(\.settledPublishers) == 0)
        try bench.publishing.receive(QueueDeclareOk(queue: "q"))
        #expect(bench.state.sum(\.settledPublishers) == 1)
        let findings = bench.loop.findings()
        #expect(findings.numbered == 10)
        #expect(findings.distinct == 10)
        #expect(findings.tally == .init())
        #expect(findings.deliveries.totalCount == 10)
    }

    @Test func findsWhatTheServerDidWrong() throws {
        let bench = try Bench(self.makePlan(count: 6))
        bench.state.phase.store(.running, ordering: .relaxed)
        bench.run()
        let bodies = try bench.bodies()
        // 1 never comes, 3 overtakes 2, 4 comes twice, 5 comes short.
        for (tag, index) in [0, 3, 2, 4, 4].enumerated() {
            try bench.deliver(bodies[index], tag: UInt64(tag + 1))
        }
        try bench.deliver(Array(bodies[5].prefix(12)), tag: 6)
        let findings = bench.loop.findings()
        #expect(findings.numbered == 6)
        #expect(findings.distinct == 4)
        #expect(findings.tally.duplicated == 1)
        #expect(findings.reordered == 1)
        #expect(findings.damaged == 1)
    }

    @Test func waitsForConfirms() throws {
        let bench = try Bench(self.makePlan(count: 10) { $0.confirmWindow = 4 })
        bench.state.phase.store(.running, ordering: .relaxed)
        bench.run()
        #expect(try bench.bodies().count == 4)
        bench.run()
        #expect(try bench.bodies().isEmpty)
        try bench.publishing.receive(BasicAck(deliveryTag: 3, multiple: true))
        #expect(try bench.bodies().count == 3)
        try bench.publishing.receive(BasicNack(deliveryTag: 4))
        #expect(try bench.bodies().count == 1)
        #expect(bench.state.sum(\.confirmed) == 3)
        #expect(bench.state.sum(\.refused) == 1)
        try bench.publishing.receive(BasicAck(deliveryTag: 99))
        #expect(bench.loop.findings().misconfirmed == 1)
    }

    @Test func boundsWhatIsUnderWay() throws {
        let bench = try Bench(self.makePlan(count: 10) { $0.maxInflight = 3 })
        bench.loop.wakeOthers = { [unowned bench] in bench.loop.wake() }
        bench.state.phase.store(.running, ordering: .relaxed)
        bench.run()
        let first = try bench.bodies()
        #expect(first.count == 3)
        let isWaiting = bench.state.counters[0].awaitsConsumers.load(ordering: .relaxed)
        #expect(isWaiting)
        try bench.deliver(first[0], tag: 1)
        try bench.deliver(first[1], tag: 2)
        bench.publishing.channel.embeddedEventLoop.run()
        #expect(try bench.bodies().count == 2)
    }

    @Test func pausesWhenTheServerAsks() throws {
        for isFlow in [true, false] {
            let bench = try Bench(self.makePlan(count: 10) { $0.confirmWindow = 5 })
            bench.state.phase.store(.running, ordering: .relaxed)
            if isFlow {
                try bench.publishing.receive(ChannelFlow(active: false))
                #expect(try bench.publishing.sentMethods().map { $0.id } == [ChannelFlowOk.id])
            } else {
                try bench.publishing.receive(ConnectionBlocked(reason: "low on memory"), channel: 0)
                #expect(bench.state.sum(\.blocked) == 1)
            }
            bench.run()
            #expect(try bench.bodies().isEmpty)
            if isFlow {
                try bench.publishing.receive(ChannelFlow(active: true))
            } else {
                try bench.publishing.receive(ConnectionUnblocked(), channel: 0)
            }
            #expect(try bench.bodies().count == 5)
        }
    }

    @Test(arguments: [(1, [1, 2, 3, 4, 5], false), (2, [2, 4], true)] as [(Int, [UInt64], Bool)])
    func acknowledges(every: Int, tags: [UInt64], multiple: Bool) throws {
        let bench = try Bench(self.makePlan(count: 5) { $0.ackEvery = every })
        for tag in 1...5 as ClosedRange<UInt64> {
            try bench.deliver(Frames.stamp(publisher: 0, sequence: tag - 1, time: 0), tag: tag)
        }
        let acks = try bench.consuming.sentMethods()
        #expect(
            acks.compactMap { method in
                if case .basicAck(let ack) = method { ack } else { nil }
            } == tags.map { BasicAck(deliveryTag: $0, multiple: multiple) }
        )
        // What a batch left over goes at the end.
        bench.loop.consumers[0].acknowledgeRest()
        #expect(try bench.consuming.sentMethods().count == (every == 1 ? 0 : 1))
    }

    @Test func ignoresWhatArrivesWhileClosing() throws {
        let bench = try Bench(self.makePlan(count: 5) { $0.ackEvery = 1 })
        bench.state.phase.store(.closing, ordering: .relaxed)
        try bench.deliver(Frames.stamp(publisher: 0, sequence: 0, time: 0), tag: 1)
        #expect(bench.state.sum(\.consumed) == 0)
        #expect(try bench.consuming.sent().isEmpty)
    }

    @Test func checksOrderPerConsumerWhereQueuesAreShared() throws {
        let bench = try Bench(self.makePlan(count: 5) { $0.consumers = 2 })
        // Numbers the other consumer got are missing here, which is no error; going back is.
        for (tag, sequence) in ([0, 2, 4, 3] as [UInt64]).enumerated() {
            try bench.deliver(Frames.stamp(publisher: 0, sequence: sequence, time: 0), tag: UInt64(tag))
        }
        // Redelivery may go back.
        try bench.deliver(Frames.stamp(publisher: 0, sequence: 1, time: 0), tag: 9, redelivered: true)
        #expect(bench.loop.findings().reordered == 1)
        #expect(bench.state.sum(\.redelivered) == 1)
    }
}
