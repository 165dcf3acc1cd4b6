import Histogram
import Testing

@testable import MartletPerf

@Suite struct ReportTests {
    private func makeReport() -> LoadReport {
        var plan = LoadPlan()
        plan.confirmWindow = 100
        plan.serverPIDs = [1]
        var report = LoadReport(plan: plan)
        report.server = .init(product: "Broker", version: "1.0")
        report.seconds = 2
        report.published = .init(perSecond: 1_234_567.4, total: 3_000_000)
        report.consumed = .init(perSecond: 1_234_566, total: 3_000_000)
        report.confirmed = .init(perSecond: 1000, total: 2000)
        report.deliveries = .init(count: 9, p50: 900, p95: 12_340, p99: 4_567_800, p999: 45_678_000, max: 2_000_000_000)
        report.confirms = .init(count: 9, p50: 1000, p95: 2000, p99: 3000, p999: 4000, max: 5000)
        report.serverUsage = .init(
            cpuSeconds: 1.5,
            residentStart: 1 << 20,
            residentEnd: 3 << 20,
            residentPeak: 1 << 30
        )
        return report
    }

    @Test func showsATable() {
        let expected = """

            Broker 1.0 at 127.0.0.1:5672, measured for 2.00 s
            1 publisher, 1 queue, 1 consumer, 16 B, transient, automatic ack, confirm window 100

                           per second        in all
            published     1,234,567/s     3,000,000
            consumed      1,234,566/s     3,000,000
            confirmed         1,000/s         2,000

            latency               p50           p95           p99         p99.9           max
            delivery           900 ns       12.3 µs       4.57 ms       45.7 ms        2.00 s
            confirm           1.00 µs       2.00 µs       3.00 µs       4.00 µs       5.00 µs

            errors       none: nothing lost, duplicated or reordered
            server       1.50 s of CPU (0.75 cores), 0.608 µs per message, memory 1.00 MiB to 3.00 MiB, at most 1.00 GiB
            """
        #expect(self.makeReport().table == expected)
    }

    @Test func namesErrorsAndIncidents() {
        var report = self.makeReport()
        report.errors = .init(lost: 1200, duplicated: 1, reordered: 0, damaged: 0, misconfirmed: 3)
        report.refused = 7
        report.blocked = 2
        #expect(report.table.contains("\nerrors       1,200 lost, 1 duplicated, 3 wrongly confirmed\nrefused      7\n"))
        #expect(report.table.contains("\npaused       2\n"))
        #expect(report.exitCode == 3)
    }

    @Test func warnsThatUnboundedLatencyIsQueueing() {
        var report = self.makeReport()
        report.plan.confirmWindow = nil
        #expect(report.table.contains("mostly time in queues"))
        report.plan.rate = 5
        #expect(!report.table.contains("mostly time in queues"))
    }

    @Test func tellsAFailure() {
        var report = self.makeReport()
        report.failure = .serverClosed(scope: .channel, code: 404, text: "NOT_FOUND - \"q\"")
        #expect(report.exitCode == 2)
        #expect(report.table.contains("not checked, the run was cut short"))
        let json = report.json
        #expect(json.contains("\"error\":\"server closed the channel: 404 NOT_FOUND - \\\"q\\\"\",\"reply_code\":404}"))
        #expect(json.hasPrefix("{\"ok\":false,"))
    }

    @Test func printsJSON() {
        let expected =
            "{\"ok\":true,\"server\":\"Broker 1.0\",\"publishers\":1,\"consumers\":1,\"queues\":1,\"body\":16,"
            + "\"prefetch\":0,\"ack\":0,\"confirm_window\":100,\"exchange\":\"default\",\"persistent\":false,"
            + "\"durable\":false,\"rate\":0.000,\"window_s\":2.0000,"
            + "\"published_per_s\":1234567,\"published\":3000000,\"consumed_per_s\":1234566,\"consumed\":3000000,"
            + "\"confirmed_per_s\":1000,\"confirmed\":2000,"
            + "\"latency_us\":{\"n\":9,\"p50\":0.9,\"p95\":12.3,\"p99\":4567.8,\"p999\":45678.0,\"max\":2000000.0},"
            + "\"confirm_latency_us\":{\"n\":9,\"p50\":1.0,\"p95\":2.0,\"p99\":3.0,\"p999\":4.0,\"max\":5.0},"
            + "\"errors\":{\"lost\":0,\"duplicated\":0,\"reordered\":0,\"damaged\":0,\"confirm\":0},"
            + "\"refused\":0,\"returned\":0,\"redelivered\":0,\"blocked_events\":0,\"undrained\":0,"
            + "\"server_usage\":{\"cpu_s\":1.50,\"cores\":0.75,\"cpu_us_per_msg\":0.608,"
            + "\"rss_start\":1048576,\"rss_end\":3145728,\"rss_peak\":1073741824}}"
        #expect(self.makeReport().json == expected)
    }

    @Test func escapesJSON() {
        var json = JSONText()
        json.add("a\"b", "c\\\n\u{1}é")
        #expect(json.text == "{\"a\\\"b\":\"c\\\\\\u000a\\u0001é\"}")
        json = JSONText()
        json.add("x", .nan, digits: 2)
        #expect(json.text == "{\"x\":null}")
    }

    @Test func showsProgress() {
        let line = ProgressLine(
            start: 0,
            from: .init(nanoseconds: 1_000_000_000, published: 10, consumed: 5, confirmed: 0),
            to: .init(nanoseconds: 3_000_000_000, published: 2_000_010, consumed: 5, confirmed: 3000),
            inflight: 2_000_005,
            showsConfirms: true,
            note: "warming up"
        )
        #expect(
            line.text
                == "   3 s  published   1,000,000/s  consumed           0/s  confirmed       1,500/s"
                + "  under way   2,000,005  (warming up)"
        )
    }

    @Test(arguments: [
        (NumberText.grouped(0), "0"), (NumberText.grouped(999), "999"), (NumberText.grouped(1000), "1,000"),
        (NumberText.grouped(.max), "18,446,744,073,709,551,615"),
        (NumberText.fixed(1.005, 1), "1.0"), (NumberText.fixed(-0.04, 1), "0.0"), (NumberText.fixed(-2.5, 2), "-2.50"),
        (NumberText.fixed(0.996, 2), "1.00"), (NumberText.fixed(12, 0), "12"), (NumberText.fixed(.infinity, 1), "-"),
        (NumberText.duration(nanoseconds: 999), "999 ns"), (NumberText.duration(nanoseconds: 9_996), "10.0 µs"),
        (NumberText.duration(nanoseconds: 99_960), "100 µs"),
        (NumberText.duration(nanoseconds: 61_000_000_000), "61.0 s"),
        (NumberText.bytes(1023), "1023 B"), (NumberText.bytes(1536), "1.50 KiB"),
        (NumberText.rate(-1), "-/s"), (NumberText.count(1, "queue"), "1 queue"),
        (NumberText.count(0, "queue"), "0 queues"),
    ])
    func writesNumbersForPeople(text: String, expected: String) {
        #expect(text == expected)
    }

    @Test func readsProc() {
        let stat = "12 (a) b (c d)) S 1 12 12 0 -1 4194304 100 0 0 0 250 150 0 0 20 0 1 0 100 0 0"
        #expect(ProcessSampler.cpuTicks(stat: stat) == 400)
        #expect(ProcessSampler.cpuTicks(stat: "12 no parenthesis") == nil)
        #expect(ProcessSampler.cpuTicks(stat: "12 (x) S 1") == nil)
        #expect(ProcessSampler.residentBytes(status: "Name:\tx\nVmRSS:\t    2048 kB\nVmData: 1 kB\n") == 2_097_152)
        #expect(ProcessSampler.residentBytes(status: "Name:\tx\n") == nil)
        #expect(ProcessSampler.exists(ProcessSampler.ownID))
        #expect(ProcessSampler.own.residentBytes() > 1 << 20)
        #expect(!ProcessSampler.exists(-1))
    }
}

@Suite struct JudgeTests {
    private func findings(
        missing: UInt64 = 0,
        duplicated: UInt64 = 0,
        numbered: UInt64,
        distinct: UInt64,
        reordered: UInt64 = 0
    ) -> LoadLoop.Findings {
        var recorder = LatencyRecorder()
        let empty = recorder.finish()
        return LoadLoop.Findings(
            tally: .init(missing: missing, duplicated: duplicated, late: 0, foreign: 0),
            numbered: numbered,
            distinct: distinct,
            reordered: reordered,
            deliveries: empty,
            confirms: empty
        )
    }

    private func judge(
        _ findings: [LoadLoop.Findings],
        isDrained: Bool = true,
        set: (inout LoadReport) -> Void = { _ in }
    ) -> LoadReport {
        var report = LoadReport(plan: LoadPlan())
        set(&report)
        report.judge(findings, isDrained: isDrained)
        return report
    }

    @Test func acceptsACleanRun() {
        // The publisher on one loop, the consumer on another.
        let report = self.judge([self.findings(numbered: 10, distinct: 0), self.findings(numbered: 0, distinct: 10)])
        #expect(report.errors == .init())
        #expect(report.exitCode == 0)
    }

    @Test func countsTheLostAtTheEndToo() {
        // Two gaps, and three at the end that no later number betrays.
        let report = self.judge([self.findings(missing: 2, numbered: 10, distinct: 5)])
        #expect(report.errors.lost == 5)
        #expect(report.exitCode == 3)
    }

    @Test func addsUpWhatLoopsFound() {
        let one = self.findings(duplicated: 1, numbered: 5, distinct: 5, reordered: 2)
        let report = self.judge([one, one])
        #expect(report.errors == .init(lost: 0, duplicated: 2, reordered: 4, damaged: 0, misconfirmed: 0))
    }

    @Test func doesNotMissWhatWasRefused() {
        let report = self.judge([self.findings(missing: 3, numbered: 10, distinct: 7)]) { report in
            report.refused = 2
            report.returned = 1
        }
        #expect(report.errors.lost == 0)
    }

    @Test func callsTheRestUndrainedWhenTimeRanOut() {
        let report = self.judge([self.findings(missing: 1, numbered: 10, distinct: 4)], isDrained: false)
        #expect(report.errors.lost == 1)
        #expect(report.undrained == 5)
    }

    @Test func countsBodiesWithoutNumbers() {
        let report = self.judge([self.findings(numbered: 0, distinct: 0)]) { report in
            report.plan.bodyBytes = 4
            report.plan.exchange = .fanout
            report.plan.queues = 2
            report.published.total = 10
            report.consumed.total = 19
        }
        #expect(report.errors.lost == 1)
    }

    @Test func findsNothingLostInARunCutShort() {
        let report = self.judge([self.findings(numbered: 10, distinct: 5)]) { $0.failure = .connectionLost("x") }
        #expect(report.errors.lost == 0)
        #expect(report.exitCode == 2)
    }

    @Test(arguments: [
        (IdleRunner.Held.connections(2000), "2,000 connections open", "connection", ", 0 connections lost"),
        (.queues, "10,000 queues declared and bound", "queue", ""),
    ])
    func tellsWhatIdleOnesCost(held: IdleRunner.Held, opened: String, what: String, loss: String) {
        var plan = LoadPlan()
        plan.queues = 10_000
        var report = IdleReport(held, plan: plan, openSeconds: 2)
        report.server = .init(product: "Broker", version: "1.0")
        report.heldSeconds = 1
        let count: UInt64 = what == "queue" ? 10_000 : 2000
        report.usage = .init(
            cpuSeconds: 0.5,
            residentStart: 1 << 20,
            residentEnd: (1 << 20) + 1536 * count,
            residentPeak: 1 << 30
        )
        #expect(report.table.contains("opened       \(opened) in 2.00 s, \(NumberText.rate(Double(count) / 2))\n"))
        #expect(report.table.contains("held         1.0 s\(loss)\n"))
        #expect(report.table.contains(", 1.50 KiB per \(what), 0.50 s of CPU while held"))
        #expect(report.json.contains("\"\(what)s\":\(count),"))
        #expect(report.json.contains("\"bytes_per_\(what)\":1536,"))
    }
}
