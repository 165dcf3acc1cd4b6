import Testing

@testable import martlet

/// Amounts of memory as people write them.
@Suite struct ByteSizeTests {
    static let sizes: [(text: String, octets: UInt64)] = [
        ("0", 0),
        ("1048576", 1_048_576),
        ("7b", 7),
        ("1k", 1_024),
        ("1K", 1_024),
        ("1kb", 1_000),
        ("1KiB", 1_024),
        ("3m", 3_145_728),
        ("3MB", 3_000_000),
        ("512MiB", 536_870_912),
        ("2g", 2_147_483_648),
        ("2GB", 2_000_000_000),
        ("2 GiB", 2_147_483_648),
        ("1TB", 1_000_000_000_000),
        ("1tib", 1_099_511_627_776),
        ("1%", 80),
        ("40%", 3_200),
        ("100%", 8_000),
        ("18446744073709551615", .max),
        ("16777215TiB", 18_446_742_974_197_923_840),
    ]

    @Test(arguments: sizes)
    func readsSizes(text: String, octets: UInt64) {
        #expect(ByteSize.parse(text, total: 8_000) == octets)
    }

    @Test(arguments: [
        "", " ", "MiB", "%", "-1", "+1", "1.5GB", "1e9", "0x10", "12 apples", "1 MiB extra", "0%", "101%", "-5%",
        "18446744073709551616", "16777216TiB", "١٢", "1PB", "%40",
    ])
    func refusesWhatIsNoSize(text: String) {
        #expect(ByteSize.parse(text, total: 8_000) == nil)
    }
}
