import AMQPProtocol
import BrokerSimulation
import Testing

@testable import BrokerCore

/// The record of a publisher: of bounded size, and read as it was written.
@Suite struct PublisherRecordTests {
    private func encode(_ publisher: [UInt8], _ sequence: PublisherSequence, deadline: UInt64 = .max) -> [UInt8] {
        let sequence = sequence.told
        let size = PublisherRecord.size(publisher, holes: sequence.holes.count, "host", "exchange")
        return [UInt8](unsafeUninitializedCapacity: size) { buffer, count in
            if let base = buffer.baseAddress {
                PublisherRecord.write(
                    publisher,
                    sequence,
                    "host",
                    "exchange",
                    deadline: deadline,
                    at: UnsafeMutableRawPointer(base)
                )
            }
            count = size
        }
    }

    private func decode(_ octets: [UInt8]) throws -> PublisherRecord {
        let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: octets.count, alignment: 8)
        defer { copy.deallocate() }
        copy.copyBytes(from: octets)
        return try PublisherRecord(UnsafeRawBufferPointer(copy))
    }

    private static var sequence: PublisherSequence {
        var sequence = PublisherSequence()
        for number in 1...20 as ClosedRange<UInt64> { sequence.arrive(number, isRejected: number % 5 < 2) }
        sequence.begin(21, ticket: 1)
        sequence.arrive(22, isRejected: false)
        return sequence
    }

    @Test func readsWhatWasWritten() throws {
        let sequence = Self.sequence
        for publisher in [[1], Array(repeating: 0xFF, count: 255)] as [[UInt8]] {
            let record = try self.decode(self.encode(publisher, sequence, deadline: 77))
            #expect(record.virtualHost == "host" && record.exchange == "exchange" && record.publisher == publisher)
            #expect(record.deadline == 77 && record.sequence.next == 23)
            #expect(record.sequence.holes == sequence.told.holes)
            #expect(record.sequence.holes.last == .init(first: 20, last: 21), "what is under way, too")
            #expect(record.sequence.floor == 0 && record.sequence.openCount == 0)
        }
    }

    @Test func theLargestHasABound() {
        var sequence = PublisherSequence()
        for number in 0..<10_000 as Range<UInt64> { sequence.arrive(2 * number, isRejected: true) }
        #expect(self.encode([1], sequence).count <= 40 + 16 * 256 + 5 + 9 + 2)
        #expect(sequence.floor > 0)
    }

    @Test func whatIsCutOrFalseIsRefused() throws {
        let octets = self.encode(Array("publisher".utf8), Self.sequence)
        _ = try self.decode(octets)
        for count in 0..<octets.count {
            #expect(throws: RecordError.self) { try self.decode(Array(octets[..<count])) }
        }
        let random = SeededRandom(seed: 1)
        for _ in 0..<5000 {
            var changed = octets
            changed[Int(random.next() % UInt64(octets.count))] = UInt8(truncatingIfNeeded: random.next())
            // Nothing but an error, and what is read can be used.
            guard let record = try? self.decode(changed) else { continue }
            #expect(record.sequence.isPlausible && record.publisher.count <= 255)
            _ = record.sequence.knowledge(of: random.next() >> 1)
        }
        var newer = octets
        newer[0] = 2
        #expect(throws: RecordError.unknownVersion(2)) { try self.decode(newer) }
    }
}
