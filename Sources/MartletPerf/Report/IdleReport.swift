/// What connections or queues cost that do nothing.
struct IdleReport: Equatable, Sendable {
    /// What was held, in the singular: `connection` or `queue`.
    private let what: String
    private let count: Int
    /// Seconds until all were open, or declared and bound.
    private let openSeconds: Double
    var server = ClientConnection.ServerFacts()
    var heldSeconds = 0.0
    /// Connections the server dropped while they were held.
    var lost = 0
    var usage: ProcessUsage?

    init(_ held: IdleRunner.Held, plan: LoadPlan, openSeconds: Double) {
        switch held {
        case .connections(let count): (self.what, self.count) = ("connection", count)
        case .queues: (self.what, self.count) = ("queue", plan.queues)
        }
        self.openSeconds = openSeconds
    }

    /// What is open now, for a person.
    var opened: String {
        "\(NumberText.count(self.count, self.what)) \(self.isOfQueues ? "declared and bound" : "open")"
    }

    private var isOfQueues: Bool { self.what == "queue" }

    private var opensPerSecond: Double { self.openSeconds > 0 ? Double(self.count) / self.openSeconds : 0 }

    /// Resident octets of the server for each.
    private func bytesEach(_ usage: ProcessUsage) -> Double {
        (Double(usage.residentEnd) - Double(usage.residentStart)) / Double(max(1, self.count))
    }

    /// The report for a person.
    var table: String {
        var lines = ["", [self.server.product, self.server.version].filter { !$0.isEmpty }.joined(separator: " ")]
        lines.append(
            "opened       \(self.opened) in \(NumberText.fixed(self.openSeconds, 2)) s, "
                + NumberText.rate(self.opensPerSecond)
        )
        let loss = self.isOfQueues ? "" : ", \(NumberText.count(self.lost, "connection")) lost"
        lines.append("held         \(NumberText.fixed(self.heldSeconds, 1)) s\(loss)")
        if let usage = self.usage {
            let each = self.bytesEach(usage)
            lines.append(
                "server       \(NumberText.bytes(usage.residentStart)) to \(NumberText.bytes(usage.residentEnd)), "
                    + "\(each < 0 ? "less than nothing" : NumberText.bytes(UInt64(each))) per \(self.what), "
                    + "\(NumberText.fixed(usage.cpuSeconds, 2)) s of CPU while held"
            )
        }
        return lines.joined(separator: "\n")
    }

    /// The report for a program: one line.
    var json: String {
        var json = JSONText()
        json.add("ok", self.lost == 0)
        json.add("server", "\(self.server.product) \(self.server.version)")
        json.add("\(self.what)s", self.count)
        json.add("open_s", self.openSeconds, digits: 3)
        json.add("opens_per_s", self.opensPerSecond, digits: 0)
        json.add("held_s", self.heldSeconds, digits: 3)
        json.add("lost", self.lost)
        if let usage = self.usage {
            json.add("rss_start", usage.residentStart)
            json.add("rss_held", usage.residentEnd)
            json.add("bytes_per_\(self.what)", self.bytesEach(usage), digits: 0)
            json.add("server_cpu_s", usage.cpuSeconds, digits: 2)
        }
        return json.text
    }
}
