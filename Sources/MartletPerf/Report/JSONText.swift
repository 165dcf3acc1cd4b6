/// Writes one JSON object, members in the order they are added.
struct JSONText {
    private var members: [String] = []

    /// The object.
    var text: String { "{" + self.members.joined(separator: ",") + "}" }

    mutating func add(_ key: String, _ value: String) { self.addRaw(key, Self.quoted(value)) }

    mutating func add(_ key: String, _ value: UInt64) { self.addRaw(key, "\(value)") }

    mutating func add(_ key: String, _ value: Int) { self.addRaw(key, "\(value)") }

    mutating func add(_ key: String, _ value: Bool) { self.addRaw(key, value ? "true" : "false") }

    /// Adds a number with so many digits after the point.
    mutating func add(_ key: String, _ value: Double, digits: Int) {
        let text = NumberText.fixed(value, digits)
        self.addRaw(key, text == "-" ? "null" : text)
    }

    mutating func add(_ key: String, _ object: JSONText) { self.addRaw(key, object.text) }

    private mutating func addRaw(_ key: String, _ text: String) {
        self.members.append(Self.quoted(key) + ":" + text)
    }

    private static func quoted(_ text: String) -> String {
        var quoted = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": quoted += "\\\""
            case "\\": quoted += "\\\\"
            case _ where scalar.value < 0x20:
                let digits = String(scalar.value, radix: 16)
                quoted += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: quoted.unicodeScalars.append(scalar)
            }
        }
        return quoted + "\""
    }
}

extension LoadReport {
    /// The report for a program: one line.
    var json: String {
        var json = JSONText()
        json.add("ok", self.exitCode == 0)
        json.add("server", "\(self.server.product) \(self.server.version)")
        json.add("publishers", self.plan.publishers)
        json.add("consumers", self.plan.consumers)
        json.add("queues", self.plan.queues)
        json.add("body", self.plan.bodyBytes)
        json.add("prefetch", self.plan.prefetch)
        json.add("ack", self.plan.ackEvery)
        json.add("confirm_window", self.plan.confirmWindow ?? 0)
        json.add("exchange", self.plan.exchange.rawValue)
        json.add("persistent", self.plan.isPersistent)
        json.add("durable", self.plan.isDurable)
        json.add("rate", self.plan.rate ?? 0, digits: 3)
        json.add("window_s", self.seconds, digits: 4)
        for (name, flow) in [("published", self.published), ("consumed", self.consumed), ("confirmed", self.confirmed)]
        {
            json.add("\(name)_per_s", flow.perSecond, digits: 0)
            json.add(name, flow.total)
        }
        for (name, summary) in [("latency_us", self.deliveries), ("confirm_latency_us", self.confirms)] {
            if let summary {
                json.add(name, summary.json)
            }
        }
        var errors = JSONText()
        errors.add("lost", self.errors.lost)
        errors.add("duplicated", self.errors.duplicated)
        errors.add("reordered", self.errors.reordered)
        errors.add("damaged", self.errors.damaged)
        errors.add("confirm", self.errors.misconfirmed)
        json.add("errors", errors)
        json.add("refused", self.refused)
        json.add("returned", self.returned)
        json.add("redelivered", self.redelivered)
        json.add("blocked_events", self.blocked)
        json.add("undrained", self.undrained)
        for (name, usage) in [("server_usage", self.serverUsage), ("tool_usage", self.ownUsage)] {
            if let usage {
                json.add(name, self.json(of: usage))
            }
        }
        if let failure = self.failure {
            json.add("error", failure.description)
            json.add("reply_code", Int(failure.replyCode ?? 0))
        }
        return json.text
    }

    private func json(of usage: ProcessUsage) -> JSONText {
        var json = JSONText()
        json.add("cpu_s", usage.cpuSeconds, digits: 2)
        json.add("cores", self.seconds > 0 ? usage.cpuSeconds / self.seconds : 0, digits: 2)
        json.add("cpu_us_per_msg", self.microsecondsPerMessage(usage), digits: 3)
        json.add("rss_start", usage.residentStart)
        json.add("rss_end", usage.residentEnd)
        json.add("rss_peak", usage.residentPeak)
        return json
    }
}

extension LatencySummary {
    /// The figures in microseconds.
    var json: JSONText {
        var json = JSONText()
        json.add("n", self.count)
        for (name, value) in [
            ("p50", self.p50), ("p95", self.p95), ("p99", self.p99), ("p999", self.p999), ("max", self.max),
        ] {
            json.add(name, Double(value) / 1000, digits: 1)
        }
        return json
    }
}
