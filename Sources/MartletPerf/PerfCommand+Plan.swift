import ArgumentParser

extension PerfCommand {
    /// Turns the options into a plan, or says which of them make no sense.
    func makePlan(processID: Int32) throws -> LoadPlan {
        var plan = LoadPlan()
        plan.server = try self.serverAddress()
        try self.addTopology(to: &plan)
        try self.addMessages(to: &plan)
        try self.addLoad(to: &plan)
        plan.prefix = self.topology.prefix ?? "martlet-perf.\(processID)"
        plan.serverPIDs = self.report.serverPid
        for process in self.report.serverPid where !ProcessSampler.exists(process) {
            throw ValidationError("--server-pid: there is no process \(process).")
        }
        return plan
    }

    private func serverAddress() throws -> ServerAddress {
        try Self.check("port", self.connection.port, in: 1...65_535)
        guard !self.connection.host.isEmpty else { throw ValidationError("--host must not be empty.") }
        guard self.connection.vhost.utf8.count <= 255 else {
            throw ValidationError("--vhost takes at most 255 bytes.")
        }
        return ServerAddress(
            host: self.connection.host,
            port: self.connection.port,
            user: self.connection.user,
            password: self.connection.password,
            virtualHost: self.connection.vhost
        )
    }

    private func addTopology(to plan: inout LoadPlan) throws {
        try Self.check("publishers", self.topology.publishers, in: 1...PerfLimits.publishers)
        try Self.check("consumers", self.topology.consumers, in: 0...PerfLimits.publishers)
        try Self.check("queues", self.topology.queues, in: 1...1_000_000)
        try Self.check("bindings", self.topology.bindings, in: 1...1_000_000)
        plan.publishers = self.topology.publishers
        plan.consumers = self.topology.consumers
        plan.queues = self.topology.queues
        plan.exchange = self.topology.exchange
        plan.bindings = self.topology.bindings
        plan.isDurable = self.topology.durable
        plan.keepsQueues = self.topology.keep
        plan.queueArguments = try Self.arguments("queue-arg", self.topology.queueArg)
        plan.consumerArguments = try Self.arguments("consumer-arg", self.topology.consumerArg)
        guard plan.exchange != .default || plan.bindings == 1 else {
            throw ValidationError("--bindings needs an --exchange: the default exchange takes no bindings.")
        }
        guard !plan.isStream || plan.consumers <= plan.queues || plan.consumers % plan.queues == 0 else {
            throw ValidationError("With streams, --consumers must be a multiple of --queues.")
        }
        if let prefix = self.topology.prefix, prefix.isEmpty || prefix.utf8.count > 200 {
            throw ValidationError("--prefix takes 1 to 200 bytes.")
        }
        // Both are multiplied for the tables of checks; see TrackTable.
        guard plan.publishers * plan.queues <= 10_000_000 else {
            throw ValidationError("--publishers times --queues must not exceed 10,000,000.")
        }
    }

    private func addMessages(to plan: inout LoadPlan) throws {
        try Self.check("size", self.message.size, in: 0...128 * 1024 * 1024)
        try Self.check("ack", self.message.ack, in: 0...65_535)
        try Self.check("prefetch", self.message.prefetch, in: 0...65_535)
        if let window = self.message.confirm {
            try Self.check("confirm", window, in: 1...PerfLimits.confirmWindow)
        }
        guard self.message.prefetch == 0 || self.message.ack <= self.message.prefetch else {
            throw ValidationError(
                "--ack \(self.message.ack) needs a --prefetch of at least that: the server would wait for an "
                    + "acknowledgement, and the consumer for messages."
            )
        }
        plan.bodyBytes = self.message.size
        plan.isPersistent = self.message.persistent
        plan.ackEvery = self.message.ack
        plan.prefetch = self.message.prefetch
        plan.confirmWindow = self.message.confirm
        try Self.check("priorities", self.message.priorities, in: 0...256)
        plan.varieties = MessageVariety.cycle(
            priorities: self.message.priorities,
            expirations: try Self.milliseconds("expirations", self.message.expirations),
            delays: try Self.milliseconds("delays", self.message.delays)
        )
        guard plan.varieties.count <= PerfLimits.varieties else {
            throw ValidationError("That is more than \(PerfLimits.varieties) kinds of messages.")
        }
        guard plan.varieties.count == 1 || plan.bodyBytes <= PerfLimits.copiedBodyBytes else {
            throw ValidationError("Kinds of messages need a --size of at most \(PerfLimits.copiedBodyBytes).")
        }
    }

    private static func milliseconds(_ name: String, _ text: String?) throws -> [UInt64] {
        guard let text else { return [] }
        return try text.split(separator: ",", omittingEmptySubsequences: false).map { part in
            guard let number = UInt64(part), number <= 315_360_000_000 else {
                throw ValidationError("--\(name) takes milliseconds separated by commas, not '\(text)'.")
            }
            return number
        }
    }

    private func addLoad(to plan: inout LoadPlan) throws {
        try Self.check("threads", self.load.threads, in: 1...256)
        plan.threads = self.load.threads
        if let count = self.load.count {
            guard self.load.duration == nil, self.load.warmup == nil else {
                throw ValidationError("--count excludes --duration and --warmup: it measures from the first message.")
            }
            guard (1...1_000_000_000_000).contains(count) else {
                throw ValidationError("--count takes 1 to 1,000,000,000,000.")
            }
            plan.length = .count(count)
        } else {
            let duration = self.load.duration ?? 10
            let warmup = self.load.warmup ?? 2
            try Self.check("duration", duration, in: 0.1...1_000_000)
            try Self.check("warmup", warmup, in: 0...1_000_000)
            plan.length = .time(warmup: UInt64(warmup * 1e9), measured: UInt64(duration * 1e9))
        }
        if let rate = self.load.rate {
            try Self.check("rate", rate, in: 0.001...1e9)
        }
        if let most = self.load.maxInflight {
            guard most > 0 else { throw ValidationError("--max-inflight takes at least 1.") }
            guard plan.consumers > 0 else {
                throw ValidationError("--max-inflight needs consumers: nothing else makes room.")
            }
        }
        if self.load.backlog {
            guard self.load.count != nil, plan.consumers > 0 else {
                throw ValidationError("--backlog needs --count and consumers.")
            }
            guard self.load.maxInflight == nil else {
                throw ValidationError("--backlog excludes --max-inflight: nothing makes room.")
            }
            plan.fillsFirst = true
        }
        if let idle = self.load.idle {
            try Self.check("idle", idle, in: 1...PerfLimits.publishers)
            guard !self.load.idleQueues else { throw ValidationError("--idle excludes --idle-queues.") }
        }
        if self.topology.keep {
            guard self.load.idle == nil, !self.load.idleQueues else {
                throw ValidationError("--keep does not go with --idle and --idle-queues: they leave nothing.")
            }
        }
        if let hold = self.load.hold {
            guard self.load.idle != nil || self.load.idleQueues else {
                throw ValidationError("--hold belongs to --idle and --idle-queues.")
            }
            try Self.check("hold", hold, in: 0...1_000_000)
        }
        plan.rate = self.load.rate
        plan.maxInflight = self.load.maxInflight
        plan.plant = self.load.plant
    }

    private static func check<Value: Comparable>(_ name: String, _ value: Value, in range: ClosedRange<Value>) throws {
        guard range.contains(value) else {
            throw ValidationError("--\(name) takes \(range.lowerBound) to \(range.upperBound), not \(value).")
        }
    }

    private static func arguments(_ name: String, _ texts: [String]) throws -> [LoadPlan.Argument] {
        try texts.map { text in
            guard let argument = LoadPlan.Argument(text), argument.key.utf8.count <= 255 else {
                throw ValidationError("--\(name) takes key=value, not '\(text)'.")
            }
            return argument
        }
    }
}
