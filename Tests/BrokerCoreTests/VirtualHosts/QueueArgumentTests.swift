import AMQPProtocol
import Testing

@testable import BrokerCore

/// What the arguments of `queue.declare` may be, and RabbitMQ's words when they are not.
@Suite struct QueueArgumentTests {
    private static let refused = "channel 406 queue.declare "

    @Test(
        arguments: [
            ("x-message-ttl", .int32(-1), "{value_negative,-1}"),
            ("x-message-ttl", .text("1"), "\"expected integer, got longstr\""),
            ("x-message-ttl", .int64(315_360_000_001), "{value_too_large,315360000001}"),
            ("x-expires", .int32(0), "{value_zero,0}"),
            ("x-expires", .int8(-5), "{value_negative,-5}"),
            ("x-expires", .void, "\"expected integer, got void\""),
            ("x-max-length", .int64(-1), "{value_negative,-1}"),
            ("x-max-length", .double(1.5), "\"expected integer, got double\""),
            ("x-max-length-bytes", .int16(-1), "{value_negative,-1}"),
            ("x-max-length-bytes", .boolean(true), "\"expected integer, got bool\""),
            ("x-max-priority", .int32(-1), "{value_negative,-1}"),
            ("x-max-priority", .int32(256), "{max_value_exceeded,256}"),
            ("x-max-priority", .text("9"), "\"expected integer, got longstr\""),
            ("x-overflow", .text("nonsense"), "invalid_overflow"),
            ("x-overflow", .int32(1), "{unacceptable_type,signedint}"),
            ("x-queue-mode", .text("nonsense"), "\"unsupported queue mode 'nonsense'\""),
            ("x-queue-type", .text("nonsense"), "\"unsupported queue type 'nonsense'\""),
            ("x-queue-type", .int32(1), "{unacceptable_type,signedint}"),
            ("x-queue-version", .int32(-1), "{value_negative,-1}"),
            ("x-queue-version", .int32(0), "\"unsupported queue version '0'\""),
            ("x-queue-version", .int32(3), "\"unsupported queue version '3'\""),
            ("x-single-active-consumer", .int32(1), "{unacceptable_type,signedint}"),
            ("x-single-active-consumer", .text("true"), "{unacceptable_type,longstr}"),
            ("x-dead-letter-routing-key", .text("k"), "routing_key_but_no_dlx_defined"),
            ("x-dead-letter-routing-key", .int32(5), "{unacceptable_type,signedint}"),
            ("x-dead-letter-exchange", .longString([UInt8](repeating: 120, count: 256)), "{value_too_long,256}"),
        ] as [(ShortString, FieldValue, String)]
    )
    func refusesBadValues(name: ShortString, value: FieldValue, reason: String) {
        let scene = TopologyScene()
        let text = "invalid arg '\(name)' for queue 'q' in vhost '/': \(reason)"
        #expect(scene.queue("q", [name: value]) == Self.refused + text)
        #expect(scene.host.queueCount == 0)
    }

    @Test func theDeadLetterExchangeIsAString() {
        let scene = TopologyScene()
        let text = "invalid type 'signedint' for arg 'x-dead-letter-exchange' in queue 'q' in vhost '/'"
        #expect(scene.queue("q", ["x-dead-letter-exchange": .int32(5)]) == Self.refused + text)
    }

    /// RabbitMQ looks at the dead letter exchange's type first, then at the queue type, then at the rest in its own order.
    @Test(
        arguments: [
            (
                ["x-message-ttl": .int32(-1), "x-dead-letter-exchange": .int32(1), "x-queue-type": .text("x")],
                "invalid type 'signedint' for arg 'x-dead-letter-exchange' in queue 'q' in vhost '/'"
            ),
            (
                ["x-message-ttl": .int32(-1), "x-queue-type": .text("x")],
                "invalid arg 'x-queue-type' for queue 'q' in vhost '/': \"unsupported queue type 'x'\""
            ),
            (
                ["x-max-length": .int32(-1), "x-expires": .int32(0), "x-message-ttl": .int32(-1)],
                "invalid arg 'x-expires' for queue 'q' in vhost '/': {value_zero,0}"
            ),
            (
                ["x-max-age": .text("1D"), "x-max-priority": .int32(-1)],
                "invalid arg 'x-max-priority' for queue 'q' in vhost '/': {value_negative,-1}"
            ),
        ] as [(FieldTable, String)]
    )
    func namesOneOfSeveralMistakes(arguments: FieldTable, text: String) {
        #expect(TopologyScene().queue("q", arguments) == Self.refused + text)
    }

    @Test(
        arguments: [
            ("x-message-ttl", .int32(0)), ("x-message-ttl", .int64(1 << 32)),
            ("x-message-ttl", .int64L(315_360_000_000)),
            ("x-expires", .uint8(1)), ("x-expires", .int64(315_360_000_000)), ("x-max-length", .int16(0)),
            ("x-max-length", .int64(.max)), ("x-max-length-bytes", .uint32(0)), ("x-max-priority", .int8(0)),
            ("x-max-priority", .uint8(255)), ("x-overflow", .text("drop-head")),
            ("x-overflow", .text("reject-publish")),
            ("x-overflow", .text("reject-publish-dlx")), ("x-queue-mode", .text("lazy")),
            ("x-queue-mode", .text("default")), ("x-queue-version", .int32(1)), ("x-queue-version", .int32(2)),
            ("x-queue-type", .text("classic")), ("x-single-active-consumer", .boolean(false)),
            ("x-dead-letter-exchange", .text("not there")), ("x-dead-letter-exchange", .text("")),
            ("x-dead-letter-exchange", .longString([UInt8](repeating: 120, count: 255))),
            ("x-queue-master-locator", .text("client-local")),
        ] as [(ShortString, FieldValue)]
    )
    func takesGoodValues(name: ShortString, value: FieldValue) {
        let scene = TopologyScene()
        #expect(scene.queue("q", [name: value]) == "+queue:q")
        #expect(scene.host.queue(named: "q")?.arguments == [name: value])
        #expect(scene.queue("q", [name: value]) == "there: q")
    }

    @Test func keepsWhatTheArgumentsMean() {
        let scene = TopologyScene()
        scene.queue(
            "q",
            [
                "x-message-ttl": .int64L(134_217_728_000), "x-max-length": .uint8(7),
                "x-overflow": .text("reject-publish"),
                "x-dead-letter-exchange": .text("d"), "x-dead-letter-routing-key": .text("k"),
                "x-single-active-consumer": .bool(2),
            ]
        )
        let parsed = scene.host.queue(named: "q")?.parsed
        #expect(parsed?.messageTTLMilliseconds == 134_217_728_000)
        #expect(parsed?.maxLength == 7)
        #expect(parsed?.overflow == .rejectPublish)
        #expect(parsed?.deadLetterExchange == "d")
        #expect(parsed?.deadLetterRoutingKey == "k")
        #expect(parsed?.isSingleActiveConsumer == true)
        #expect(parsed?.queueType == .classic)
        #expect(parsed?.expiresMilliseconds == nil)
    }

    @Test func takesWhatNobodyKnows() {
        let scene = TopologyScene()
        #expect(scene.queue("q", ["x-mine": .void, "mine": .int32(1)]) == "+queue:q")
        #expect(scene.queue("q", ["x-mine": .double(2)]) == "there: q")
    }

    @Test(
        arguments: [
            ("classic", "x-dead-letter-strategy", .text("at-least-once")),
            ("classic", "x-max-in-memory-length", .int32(1)), ("classic", "x-max-in-memory-bytes", .int32(1)),
            ("classic", "x-quorum-initial-group-size", .int32(1)), ("classic", "x-max-age", .text("1D")),
            ("classic", "x-stream-max-segment-size-bytes", .int32(1)), ("classic", "x-initial-cluster-size", .int32(1)),
            ("classic", "x-queue-leader-locator", .text("balanced")), ("quorum", "x-max-priority", .int32(5)),
            ("quorum", "x-queue-mode", .text("lazy")), ("quorum", "x-queue-version", .int32(2)),
            ("quorum", "x-queue-master-locator", .text("random")), ("quorum", "x-max-age", .text("1D")),
            ("quorum", "x-stream-max-segment-size-bytes", .int32(1)), ("quorum", "x-initial-cluster-size", .int32(1)),
        ] as [(String, ShortString, FieldValue)]
    )
    func argumentsOfOtherTypesAreRefused(type: String, name: ShortString, value: FieldValue) {
        let arguments: FieldTable = ["x-queue-type": .text(type), name: value]
        let text = "invalid arg '\(name)' for queue 'q' in vhost '/' of queue type rabbit_\(type)_queue"
        #expect(TopologyScene().queue("q", durable: true, arguments) == Self.refused + text)
    }

    @Test(
        arguments: [
            ("x-delivery-limit", .int32(-1)), ("x-delivery-limit", .text("no number")),
            ("x-dead-letter-strategy", .text("at-most-once")), ("x-max-in-memory-length", .int32(0)),
            ("x-max-in-memory-bytes", .int32(0)), ("x-quorum-initial-group-size", .int32(1)),
            ("x-queue-leader-locator", .text("balanced")), ("x-message-ttl", .int32(5)), ("x-max-length", .int32(5)),
        ] as [(ShortString, FieldValue)]
    )
    func quorumQueuesTakeTheirOwn(name: ShortString, value: FieldValue) {
        #expect(
            TopologyScene().queue("q", durable: true, ["x-queue-type": .text("quorum"), name: value]) == "+queue:q"
        )
    }

    @Test func quorumQueuesAreDurableAndShared() {
        let scene = TopologyScene()
        let quorum: FieldTable = ["x-queue-type": .text("quorum")]
        let subject = "for queue 'q' in vhost '/'"
        #expect(scene.queue("q", quorum) == Self.refused + "invalid property 'non-durable' \(subject)")
        #expect(
            scene.queue("q", durable: true, exclusive: true, quorum)
                == Self.refused + "invalid property 'exclusive-owner' \(subject)"
        )
        #expect(
            scene.queue("q", durable: true, autoDelete: true, quorum)
                == Self.refused + "invalid property 'auto-delete' \(subject)"
        )
        #expect(
            scene.queue("amq.gen-1", serverNamed: true, durable: true, quorum)
                == Self.refused + "Cannot declare a server-named queue for type rabbit_quorum_queue"
        )
        #expect(scene.host.queueCount == 0)
        #expect(scene.queue("q", durable: true, quorum) == "+queue:q")
        #expect(
            scene.queue("q", durable: true, ["x-queue-type": .text("classic")])
                == Self.refused
                + "inequivalent arg 'x-queue-type' \(subject): received 'classic' but current is 'quorum'"
        )
    }

    @Test func refusesStreams() {
        let scene = TopologyScene()
        let stream: FieldTable = ["x-queue-type": .text("stream")]
        let subject = "queue 'q' in vhost '/'"
        #expect(scene.queue("q", stream) == Self.refused + "invalid property 'non-durable' for \(subject)")
        #expect(scene.queue("q", durable: true, stream) == Self.refused + "streams are not supported: \(subject)")
        #expect(scene.host.queueCount == 0)
    }
}
