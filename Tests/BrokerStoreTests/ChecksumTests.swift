import CChecksum
import Testing

/// CRC-32C, by the vectors of RFC 3720 appendix B.4 and by comparing the two ways to compute it.
@Suite struct ChecksumTests {
    private static let readCommand: [UInt8] = [
        0x01, 0xC0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x14, 0, 0, 0, 0, 0, 0x04, 0, 0, 0, 0, 0x14, 0, 0, 0,
        0x18,
        0x28, 0, 0, 0, 0, 0, 0, 0, 0x02, 0, 0, 0, 0, 0, 0, 0,
    ]

    @Test(arguments: [
        ([UInt8](repeating: 0, count: 32), 0x8A91_36AA),
        ([UInt8](repeating: 0xFF, count: 32), 0x62A8_AB43),
        (Array(0..<32), 0x46DD_794E),
        (Array((0..<32).reversed()), 0x113F_DB5C),
        (readCommand, 0xD996_3A56),
        (Array("123456789".utf8), 0xE306_9283),
        ([], 0),
    ])
    func matchesTheVectors(_ bytes: [UInt8], _ expected: Int) {
        #expect(martlet_crc32c(0, bytes, bytes.count) == UInt32(expected))
        #expect(martlet_crc32c_table(0, bytes, bytes.count) == UInt32(expected))
    }

    /// Sizes around those of the blocks that are summed side by side.
    @Test(arguments: [
        1, 7, 8, 9, 63, 127, 128, 383, 384, 385, 391, 767, 768, 1024, 3071, 3072, 3073, 3456, 6144, 10_000, 65_536,
    ])
    func instructionAndTableAgree(_ count: Int) {
        let bytes = LogWorkbench.payload(count + 3, UInt64(count))
        bytes.withUnsafeBytes { buffer in
            for shift in 0..<3 {
                let start = buffer.baseAddress?.advanced(by: shift)
                #expect(martlet_crc32c(7, start, count) == martlet_crc32c_table(7, start, count))
            }
        }
    }

    @Test func goesOnFromAResult() {
        let bytes = LogWorkbench.payload(5000, 1)
        let whole = martlet_crc32c(0, bytes, bytes.count)
        for cut in stride(from: 0, through: 5000, by: 311) {
            let first = martlet_crc32c(0, bytes, cut)
            let second = Array(bytes[cut...])
            #expect(martlet_crc32c(first, second, second.count) == whole)
        }
    }

    @Test func wordsAreTheirOctetsInLittleEndianOrder() {
        let bytes: [UInt8] = Array(1...16)
        #expect(
            martlet_crc32c_words(9, 0x0807_0605_0403_0201, 0x100F_0E0D_0C0B_0A09)
                == martlet_crc32c_table(9, bytes, bytes.count)
        )
    }

    @Test func usesTheInstructionHere() {
        #if arch(x86_64)
        #expect(martlet_crc32c_is_hardware())
        #endif
    }
}
