import Testing

@testable import BrokerCore

/// Instants as text.
@Suite struct DateTimeTextTests {
    private static let good: [(String, UInt64)] = [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00:00.001Z", 1),
        ("2026-11-26T01:02:03+00:00", 1_795_654_923_000),
        ("2026-11-26T01:02:03.456789+00:00", 1_795_654_923_457),
        ("2026-11-26 01:02:03,456z", 1_795_654_923_456),
        ("2026-11-26T02:32:03+01:30", 1_795_654_923_000),
        ("2026-11-25T17:02:03-08:00", 1_795_654_923_000),
        ("2026-11-26T01:02:03.999999999Z", 1_795_654_924_000),
        ("2026-11-26T06:55:31+05:53:28", 1_795_654_923_000),
        ("2024-02-29T23:59:60Z", 1_709_251_200_000),
        ("2000-02-29T00:00:00Z", 951_782_400_000),
        ("2000-03-01T00:00:00Z", 951_868_800_000),
        ("1969-12-31T23:30:00-01:00", 1_800_000),
        ("9999-12-31T23:59:59.999Z", 253_402_300_799_999),
    ]

    @Test(arguments: good)
    func readsWhatPythonAndTheInternetWrite(text: String, milliseconds: UInt64) {
        #expect(DateTimeText.milliseconds(text.utf8.map { $0 }) == milliseconds)
    }

    @Test(arguments: [
        "", "2026", "2026-11-26", "2026-11-26T01:02Z", "2026-11-26T01:02:03", "2026-11-26T01:02:03+1:00",
        "2026-11-26T01:02:03+0100", "2026-11-26T01:02:03.Z", "2026-11-26T01:02:03.1234567890Z", "2026-13-26T01:02:03Z",
        "2026-00-26T01:02:03Z", "2026-02-29T01:02:03Z", "1900-02-29T01:02:03Z", "2026-04-31T01:02:03Z",
        "2026-11-00T01:02:03Z", "2026-11-26T24:00:00Z", "2026-11-26T01:60:00Z", "2026-11-26T01:02:61Z",
        "2026-11-26T01:02:03+24:00", "2026-11-26T01:02:03+01:60", "2026-11-26T01:02:03+01:00:60",
        "2026-11-26T01:02:03+01:00 ", " 2026-11-26T01:02:03Z", "2026-11-26T01:02:03ZZ", "+2026-11-26T01:02:03Z",
        "26-11-26T01:02:03Z", "2026/11/26T01:02:03Z", "2026-11-26T01:02:03\u{0660}Z", "0000-01-01T00:00:00Z",
        "1969-12-31T23:59:59Z", "tomorrow",
    ])
    func whatIsNoInstantIsNone(text: String) {
        #expect(DateTimeText.milliseconds(text.utf8.map { $0 }) == nil)
    }

    @Test func everyDayOfFourCenturiesFollowsTheOneBefore() {
        func two(_ number: Int) -> String { number < 10 ? "0\(number)" : "\(number)" }
        var expected: UInt64 = 0
        for year in 1970..<2370 {
            let isLeap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
            for (month, days) in [31, isLeap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31].enumerated() {
                for day in 1...days where day == 1 || day == days {
                    let text = "\(year)-\(two(month + 1))-\(two(day))T00:00:00Z"
                    let found = DateTimeText.milliseconds(text.utf8.map { $0 })
                    #expect(found == expected + UInt64(day - 1) * 86_400_000, "\(text)")
                }
                expected += UInt64(days) * 86_400_000
            }
        }
    }
}
