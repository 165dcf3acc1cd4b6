extension LoadReport {
    /// The report for a person, several lines.
    var table: String {
        var lines = ["", self.headline, self.plan.summary, ""]
        lines.append(Self.row("", ["per second", "in all"]))
        lines.append(Self.row("published", self.published))
        if self.plan.consumers > 0 {
            lines.append(Self.row("consumed", self.consumed))
        }
        if self.plan.confirmWindow != nil {
            lines.append(Self.row("confirmed", self.confirmed))
        }
        lines += self.latencyLines
        lines.append("")
        lines.append("errors       " + self.errorText)
        lines += self.incidentLines
        lines += self.usageLines
        return lines.joined(separator: "\n")
    }

    private var headline: String {
        let address = "\(self.plan.server.host):\(self.plan.server.port)"
        let name = [self.server.product, self.server.version].filter { !$0.isEmpty }.joined(separator: " ")
        return (name.isEmpty ? address : "\(name) at \(address)")
            + (self.fillingSeconds.map { ", filled for \(NumberText.fixed($0, 2)) s" } ?? "")
            + ", measured for \(NumberText.fixed(self.seconds, 2)) s"
    }

    private static func row(_ name: String, _ cells: [String]) -> String {
        let line = Self.padded(name, 11, toLeft: false) + cells.map { Self.padded($0, 14, toLeft: true) }.joined()
        return String(line.reversed().drop { $0 == " " }.reversed())
    }

    private static func row(_ name: String, _ flow: Flow) -> String {
        self.row(name, [NumberText.rate(flow.perSecond), NumberText.grouped(flow.total)])
    }

    private static func padded(_ text: String, _ width: Int, toLeft: Bool) -> String {
        let space = String(repeating: " ", count: max(0, width - text.count))
        return toLeft ? space + text : text + space
    }

    private var latencyLines: [String] {
        guard self.deliveries != nil || self.confirms != nil else { return [] }
        var lines = ["", Self.row("latency", ["p50", "p95", "p99", "p99.9", "max"])]
        for (name, summary) in [("delivery", self.deliveries), ("confirm", self.confirms)] {
            guard let summary else { continue }
            let values = [summary.p50, summary.p95, summary.p99, summary.p999, summary.max]
            lines.append(Self.row(name, values.map { NumberText.duration(nanoseconds: $0) }))
        }
        if self.deliveries != nil, self.plan.rate == nil, self.plan.maxInflight == nil, self.plan.confirmWindow == nil {
            lines.append("(as fast as it goes, so this is mostly time in queues; try --rate or --max-inflight)")
        }
        return lines
    }

    private var errorText: String {
        guard self.failure == nil else { return "not checked, the run was cut short" }
        guard self.errors.total > 0 else {
            if self.plan.consumers == 0 { return "not checked, nothing was consumed" }
            if self.plan.isReordered { return "none: nothing lost or duplicated" }
            return self.plan.bodyBytes >= BodyStamp.sequenceBytes
                ? "none: nothing lost, duplicated or reordered"
                : "none: nothing lost (order and duplicates need bodies of 8 bytes)"
        }
        let counts = [
            ("lost", self.errors.lost), ("duplicated", self.errors.duplicated), ("reordered", self.errors.reordered),
            ("damaged", self.errors.damaged), ("wrongly confirmed", self.errors.misconfirmed),
        ]
        return counts.filter { $0.1 > 0 }.map { "\(NumberText.grouped($0.1)) \($0.0)" }.joined(separator: ", ")
    }

    private var incidentLines: [String] {
        let counts = [
            ("refused", self.refused), ("returned", self.returned), ("redelivered", self.redelivered),
            ("undrained", self.undrained), ("paused", self.blocked),
        ]
        return counts.filter { $0.1 > 0 }.map { name, count in
            Self.padded(name, 13, toLeft: false) + NumberText.grouped(count)
        }
    }

    private var usageLines: [String] {
        var lines: [String] = []
        if let usage = self.serverUsage {
            lines.append("server       " + self.text(of: usage))
        }
        if let usage = self.ownUsage {
            lines.append("this tool    " + self.text(of: usage))
        }
        return lines
    }

    private func text(of usage: ProcessUsage) -> String {
        let seconds = self.seconds + (self.fillingSeconds ?? 0)
        let cores = seconds > 0 ? usage.cpuSeconds / seconds : 0
        return "\(NumberText.fixed(usage.cpuSeconds, 2)) s of CPU (\(NumberText.fixed(cores, 2)) cores), "
            + "\(NumberText.fixed(self.microsecondsPerMessage(usage), 3)) µs per message, "
            + "memory \(NumberText.bytes(usage.residentStart)) to \(NumberText.bytes(usage.residentEnd)), "
            + "at most \(NumberText.bytes(usage.residentPeak))"
    }
}

extension LoadPlan {
    /// What the run does, on one line.
    var summary: String {
        var parts = [
            NumberText.count(self.publishers, "publisher"), NumberText.count(self.queues, "queue"),
            NumberText.count(self.consumers, "consumer"), NumberText.bytes(UInt64(self.bodyBytes)),
            self.isPersistent ? "persistent" : "transient",
        ]
        if self.exchange != .default {
            parts.append("\(self.exchange.rawValue) exchange")
        }
        if self.consumers > 0 {
            switch self.ackEvery {
            case 0: parts.append("automatic ack")
            case 1: parts.append("ack each")
            default: parts.append("ack every \(self.ackEvery)")
            }
        }
        if self.prefetch > 0 {
            parts.append("prefetch \(self.prefetch)")
        }
        if let window = self.confirmWindow {
            parts.append("confirm window \(window)")
        }
        if self.isReordered {
            parts.append("\(self.varieties.count) kinds of messages")
        }
        if self.fillsFirst {
            parts.append("consumed when all is published")
        }
        if let rate = self.rate {
            parts.append("\(NumberText.fixed(rate, rate == rate.rounded() ? 0 : 2))/s each")
        }
        return parts.joined(separator: ", ")
    }
}
