import AMQPProtocol
import ArgumentParser
import Testing

@testable import MartletPerf

@Suite struct PerfCommandTests {
    private func plan(_ arguments: String) throws -> LoadPlan {
        try PerfCommand.parse(arguments.split(separator: " ").map(String.init)).makePlan(processID: 42)
    }

    @Test func measuresSomethingUsefulWithoutOptions() throws {
        let plan = try self.plan("")
        #expect(plan.server == ServerAddress())
        #expect(plan.summary == "1 publisher, 1 queue, 1 consumer, 16 B, transient, automatic ack")
        #expect(plan.length == .time(warmup: 2_000_000_000, measured: 10_000_000_000))
        #expect(plan.prefix == "martlet-perf.42")
    }

    @Test func takesEveryOption() throws {
        let plan = try self.plan(
            """
            --host ::1 --port 5673 --user u --password p --vhost v --publishers 2 --consumers 3 --queues 4 \
            --exchange topic --bindings 5 --durable --persistent --size 100 --ack 6 --prefetch 7 --confirm 8 \
            --rate 0.5 --max-inflight 9 --threads 2 --duration 1.5 --warmup 0 --prefix x --queue-arg a=1 \
            --queue-arg b=true --consumer-arg c=d=e
            """
        )
        let server = ServerAddress(host: "::1", port: 5673, user: "u", password: "p", virtualHost: "v")
        #expect(plan.server == server)
        #expect((plan.publishers, plan.consumers, plan.queues, plan.bindings) == (2, 3, 4, 5))
        #expect(plan.exchange == .topic)
        #expect(plan.isDurable && plan.isPersistent)
        #expect((plan.bodyBytes, plan.ackEvery, plan.prefetch, plan.confirmWindow) == (100, 6, 7, 8))
        #expect((plan.rate, plan.maxInflight, plan.threads) == (0.5, 9, 2))
        #expect(plan.length == .time(warmup: 0, measured: 1_500_000_000))
        #expect(plan.prefix == "x")
        #expect(plan.queueArguments.map { $0.value } == [.integer(1), .boolean(true)])
        #expect(plan.consumerArguments == [.init(key: "c", value: .text("d=e"))])
        #expect(try self.plan("--count 7").length == .count(7))
        #expect(try self.plan("--count 7 --backlog").fillsFirst)
        #expect(try self.plan("--consumers 0 --keep").keepsQueues)
    }

    @Test func mixesKindsOfMessages() throws {
        #expect(try self.plan("").varieties == [MessageVariety()])
        let mixed = try self.plan("--priorities 2 --expirations 100,200,300 --delays 5")
        #expect(
            mixed.varieties == [
                MessageVariety(priority: 0, expiration: 100, delay: 5),
                MessageVariety(priority: 1, expiration: 200, delay: 5),
                MessageVariety(priority: 0, expiration: 300, delay: 5),
            ]
        )
        #expect(mixed.isReordered)
        let properties = mixed.varieties[1].properties(headers: FieldTable([("a", .int64(1))]), isPersistent: true)
        #expect((properties.priority, properties.expiration, properties.deliveryMode) == (1, "200", 2))
        #expect(properties.headers == FieldTable([("a", .int64(1)), ("x-delay", .int64(5))]))
    }

    @Test(arguments: [
        "--port 0", "--port 65536", "--publishers 0", "--publishers 65536", "--consumers=-1", "--queues 0",
        "--bindings 0", "--bindings 2", "--size=-1", "--size 134217729", "--ack=-1", "--ack 65536",
        "--prefetch 65536", "--ack 2 --prefetch 1", "--confirm 0", "--confirm 1048577", "--duration 0",
        "--duration nan", "--warmup=-1", "--count 0", "--count 5 --duration 1", "--count 5 --warmup 1", "--rate 0",
        "--rate nan", "--rate 1e10", "--max-inflight 0", "--max-inflight 5 --consumers 0", "--threads 0",
        "--idle 0", "--hold 1", "--hold=-1 --idle 1", "--idle 1 --idle-queues", "--exchange carrier-pigeon",
        "--idle 1 --keep", "--idle-queues --keep", "--queue-arg novalue",
        "--queue-arg =1", "--consumer-arg x", "--server-pid 2147483647", "--publishers 60000 --queues 1000",
        "--queue-arg x-queue-type=stream --queues 2 --consumers 3", "--plant maybe", "--wrong", "extra",
        "--backlog", "--backlog --count 5 --consumers 0", "--backlog --count 5 --max-inflight 5", "--priorities 257",
        "--expirations 1,x", "--expirations=-1", "--delays 1,,2", "--priorities 2 --size 8193",
    ])
    func refuses(arguments: String) {
        let error = #expect(throws: (any Error).self) { try self.plan(arguments) }
        #expect(error.map { PerfCommand.exitCode(for: $0) } == .validationFailure)
    }

    @Test func helpsWithExamples() {
        let help = PerfCommand.helpMessage(columns: 80)
        #expect(help.contains("martlet perf --rate 5000\n"))
        // Examples are to be copied: none may be wrapped.
        let lines = help.split(separator: "\n", omittingEmptySubsequences: false)
        #expect(lines.allSatisfy { $0.count <= 80 })
        #expect(lines.filter { $0.hasPrefix("    martlet perf") }.count == 8)
        for line in lines where line.hasPrefix("    martlet perf") {
            let arguments = line.split(separator: " ").dropFirst(2).filter { $0 != "\\" }
            let parsed = arguments.map { $0 == "PID" ? "\(ProcessSampler.ownID)" : String($0) }
            #expect(throws: Never.self) { try PerfCommand.parse(parsed) }
        }
    }
}

@Suite struct LoadPlanTests {
    private func plan(
        _ publishers: Int,
        _ queues: Int,
        _ consumers: Int,
        _ exchange: ExchangeKind = .default
    ) -> LoadPlan {
        var plan = LoadPlan()
        plan.publishers = publishers
        plan.queues = queues
        plan.consumers = consumers
        plan.exchange = exchange
        plan.prefix = "p"
        return plan
    }

    @Test func givesEachQueueItsPublishersAndConsumers() {
        let few = self.plan(2, 5, 2)
        #expect((0..<2).map { few.targets(ofPublisher: $0) } == [[0, 2, 4], [1, 3]])
        #expect((0..<2).map { few.queues(ofConsumer: $0) } == [[0, 2, 4], [1, 3]])
        let many = self.plan(5, 2, 5)
        #expect((0..<5).map { many.targets(ofPublisher: $0) } == [[0], [1], [0], [1], [0]])
        #expect((0..<5).map { many.queues(ofConsumer: $0) } == [[0], [1], [0], [1], [0]])
        #expect(many.sharesQueues)
        #expect(!few.sharesQueues)
        #expect(self.plan(3, 4, 4, .fanout).targets(ofPublisher: 2) == [0])
    }

    @Test func countsTheCopiesOfAMessage() {
        #expect(self.plan(1, 10, 10).copies == 1)
        #expect(self.plan(1, 10, 10, .fanout).copies == 10)
        #expect(self.plan(1, 10, 0, .fanout).copies == 1)
        var stream = self.plan(1, 2, 6)
        stream.queueArguments = [.init(key: "x-queue-type", value: .text("stream"))]
        #expect(stream.copies == 3)
        #expect(!stream.sharesQueues)
    }

    @Test func splitsACountOverPublishers() {
        let plan = self.plan(3, 1, 1)
        #expect((0..<3).map { plan.share(ofPublisher: $0, count: 11) } == [4, 4, 3])
    }

    @Test func keepsTheConsumersOfAQueueOnOneLoop() {
        var plan = self.plan(1, 4, 12)
        plan.threads = 3
        for queue in 0..<4 {
            let loops = Set(
                (0..<12).filter { plan.queues(ofConsumer: $0) == [queue] }.map { plan.loop(ofConsumer: $0) }
            )
            #expect(loops.count == 1)
        }
        #expect(Set((0..<12).map { plan.loop(ofConsumer: $0) }) == [0, 1, 2])
    }

    @Test(arguments: ExchangeKind.allCases)
    func bindsWhatItPublishes(exchange: ExchangeKind) {
        let plan = self.plan(1, 2, 1, exchange)
        let address = plan.address(ofQueue: 1)
        let binding = plan.binding(ofQueue: 1, number: 0)
        switch exchange {
        case .default:
            #expect(plan.exchangeName.isEmpty)
            #expect(address.routingKey == plan.queueName(1))
        case .direct: #expect(address.routingKey == binding.routingKey)
        case .fanout: #expect(plan.exchangeName == "p.fanout")
        case .topic:
            #expect(address.routingKey == "perf.1.k")
            #expect(binding.routingKey == "perf.1.*")
        case .headers:
            #expect(address.headers?["queue"] == binding.arguments["queue"])
            #expect(plan.binding(ofQueue: 1, number: 1).arguments["extra"] != nil)
        }
        #expect(plan.binding(ofQueue: 1, number: 1) != binding)
        #expect(plan.binding(ofQueue: 0, number: 0) != binding || exchange == .fanout || exchange == .default)
    }

    @Test func turnsArgumentsIntoATable() {
        let arguments = ["n=-5", "b=false", "s=x"].compactMap { LoadPlan.Argument($0) }
        let table = LoadPlan.Argument.table(arguments)
        #expect(table["n"] == .int64(-5))
        #expect(table["b"] == .boolean(false))
        #expect(table["s"] == .string("x"))
    }
}
