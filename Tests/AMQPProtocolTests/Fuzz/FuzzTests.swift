import AMQPProtocol
import Foundation
import Testing

/// Runs the fuzz targets over what the fuzzer has found so far and over seeded noise.
@Suite struct FuzzTests {
    private static func fixtures(_ folder: String) -> [URL] {
        let url = URL(filePath: #filePath).appending(path: "../../Fixtures/\(folder)").standardizedFileURL
        let files = try? FileManager.default.contentsOfDirectory(at: url, includingPropertiesForKeys: nil)
        return (files ?? []).filter { $0.lastPathComponent != "README.md" }
    }

    private func run(_ bytes: [UInt8]) {
        bytes.withUnsafeBytes { buffer in
            fuzzFrames(buffer)
            fuzzTables(buffer)
        }
    }

    @Test func survivesTheCorpus() throws {
        let files = Self.fixtures("Corpus")
        #expect(files.count > 20, "the corpus is missing")
        for file in files + Self.fixtures("Crashes") {
            self.run(Array(try Data(contentsOf: file)))
        }
    }

    @Test func survivesNoise() {
        var random = SeededGenerator(seed: 0xA3C5)
        for _ in 0..<30_000 {
            self.run(random.bytes(Int.random(in: 0...64, using: &random)))
        }
    }

    @Test func survivesNoiseInsideEveryMethod() {
        var random = SeededGenerator(seed: 0x51EE)
        let ids = SpecFixture.methods.map { UInt32($0.classID) << 16 | UInt32($0.methodID) }
        var accepted = 0
        for round in 0..<66_000 {
            let arguments = random.bytes(Int.random(in: 0...24, using: &random)).map { $0 & 0x0F }
            let payload = TestEncoder.encode { encoder in
                encoder.integer(UInt64(ids[round % ids.count]), octets: 4)
                encoder.raw(arguments)
            }
            if case .success = decodingMethod(payload) { accepted += 1 }
            self.run(
                TestEncoder.encode { encoder in
                    encoder.raw([1, 0, 1])
                    encoder.longString(payload)
                    encoder.octet(0xCE)
                }
            )
        }
        #expect(accepted > 1000, "the noise never decodes and tests nothing")
    }

    @Test func survivesNoiseInsideProperties() {
        var random = SeededGenerator(seed: 0x9D0B)
        var accepted = 0
        for _ in 0..<30_000 {
            let properties = random.bytes(2) + random.bytes(Int.random(in: 0...24, using: &random)).map { $0 & 3 }
            if case .success = scanning(properties) { accepted += 1 }
            self.run(
                TestEncoder.encode { encoder in
                    encoder.raw([2, 0, 1])
                    encoder.longString([0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5] + properties)
                    encoder.octet(0xCE)
                }
            )
        }
        #expect(accepted > 10, "the noise never decodes and tests nothing")
    }
}
