import AMQPProtocol
import Testing

@testable import MartletPerf

@Suite struct FrameScannerTests {
    private func scan(_ pieces: [[UInt8]]) throws -> [RecordingSink.Event] {
        var scanner = FrameScanner()
        let sink = RecordingSink()
        for piece in pieces {
            // A copy of its own, so that reading past its end would show.
            let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: piece.count, alignment: 1)
            defer { copy.deallocate() }
            copy.copyBytes(from: piece)
            try scanner.scan(UnsafeRawBufferPointer(copy), into: sink)
        }
        return sink.events
    }

    /// One of everything, and what it amounts to.
    private var transcript: (bytes: [UInt8], events: [RecordingSink.Event]) {
        let flow = Frames.method(ChannelFlow(active: false))
        let returned = Frames.method(BasicReturn(replyCode: 312, replyText: "NO_ROUTE", exchange: "e", routingKey: "k"))
        let bytes =
            Frames.delivery(consumer: 7, tag: 9, redelivered: true, publisher: 3, sequence: 5, time: 77)
            + Frames.delivery(consumer: 12, tag: 10, publisher: 1, sequence: 6, time: 78, bodyBytes: 100, piece: 33)
            + Frames.delivery(tag: 11, publisher: 2, sequence: 1, time: 1 << 63, bodyBytes: 20, piece: 5)
            + Frames.delivery(tag: 12, bodyBytes: 0)
            + Frames.delivery(tag: 13, publisher: 1, sequence: 2, time: 0xFFFF, bodyBytes: 9)
            + Frames.frame(8, [], channel: 0)
            + Frames.method(BasicAck(deliveryTag: 40, multiple: true))
            + Frames.method(BasicNack(deliveryTag: 41, multiple: false))
            + returned + Frames.content([1, 2, 3]) + flow
        func message(
            _ consumer: Int,
            _ tag: UInt64,
            _ bodySize: UInt64,
            _ word: UInt64,
            _ time: UInt64,
            redelivered: Bool = false
        ) -> RecordingSink.Event {
            .message(
                ScannedMessage(
                    consumer: consumer,
                    deliveryTag: tag,
                    redelivered: redelivered,
                    bodySize: bodySize,
                    word: word,
                    time: time
                )
            )
        }
        return (
            bytes,
            [
                message(7, 9, 16, 3 << 48 | 5, 77, redelivered: true),
                message(12, 10, 100, 1 << 48 | 6, 78),
                message(0, 11, 20, 2 << 48 | 1, 1 << 63),
                message(0, 12, 0, 0, 0),
                message(0, 13, 9, 1 << 48 | 2, 0xFF),
                .confirm(tag: 40, multiple: true, positive: true),
                .confirm(tag: 41, multiple: false, positive: false),
                .returned,
                .method(channel: 1, payload: Array(flow[7..<flow.count - 1])),
            ]
        )
    }

    @Test func reportsEachFrameOfOneRead() throws {
        let (bytes, events) = self.transcript
        #expect(try self.scan([bytes]) == events)
    }

    @Test func reportsTheSameWhereverReadsAreCut() throws {
        let (bytes, events) = self.transcript
        for cut in 1..<bytes.count {
            #expect(try self.scan([Array(bytes[..<cut]), Array(bytes[cut...])]) == events, "cut at \(cut)")
        }
        #expect(try self.scan(bytes.map { [$0] }) == events, "octet by octet")
    }

    @Test(arguments: [
        ([3, 0, 1, 0, 0, 0, 1, 0xFF, 0xCE], FrameScanner.Failure.unexpectedFrame(3)),
        (Frames.frame(2, Array(repeating: 0, count: 14)), .unexpectedFrame(2)),
        (Frames.frame(9, []), .unexpectedFrame(9)),
        (Frames.frame(1, [0, 60, 0]), .malformedMethod),
        (Frames.frame(1, [0, 60, 0, 60, 200, 1]), .malformedMethod),
        (Frames.frame(1, [0, 60, 0, 60]), .malformedMethod),
        (Frames.frame(1, [0, 60, 0, 80, 1]), .malformedMethod),
        (Frames.frame(8, [], end: 0xCD), .badFrameEnd),
        ([1, 0, 1, 0xFF, 0xFF, 0xFF, 0xFF, 0], .frameTooLarge(.max)),
        (Frames.method(BasicDeliver()) + Frames.method(BasicDeliver()), .unexpectedFrame(1)),
        (Frames.method(BasicDeliver()) + Frames.frame(2, [0, 60]), .unexpectedFrame(2)),
        (Array(Frames.delivery().dropLast()) + [0], .badFrameEnd),
        // One octet more than the header promised.
        (
            Frames.method(BasicDeliver()) + Frames.frame(2, [0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0])
                + Frames.frame(3, [1, 2]), .unexpectedFrame(3)
        ),
    ])
    func refusesNonsense(bytes: [UInt8], failure: FrameScanner.Failure) {
        #expect(throws: failure) { try self.scan([bytes]) }
        #expect(throws: failure) { try self.scan(bytes.map { [$0] }) }
    }

    @Test func survivesAnyOctets() {
        var random = SplitMix(seed: 0x5EED)
        let (bytes, _) = self.transcript
        for _ in 0..<20_000 {
            var damaged = bytes
            for _ in 0..<3 {
                damaged[Int(random.next() % UInt64(damaged.count))] = UInt8(truncatingIfNeeded: random.next())
            }
            let cut = Int(random.next() % UInt64(damaged.count))
            // Whatever it says, it must not trap; the sanitiser of the copy above watches its reads.
            _ = try? self.scan([Array(damaged[..<cut]), Array(damaged[cut...])])
        }
        #expect(random.next() != 0)
    }
}

/// A small generator with a seed, so that a failure can be repeated.
struct SplitMix: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { self.state = seed }

    mutating func next() -> UInt64 {
        self.state &+= 0x9E37_79B9_7F4A_7C15
        var value = self.state
        value = (value ^ (value >> 30)) &* 0xBF58_476D_1CE4_E5B9
        value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
        return value ^ (value >> 31)
    }
}
