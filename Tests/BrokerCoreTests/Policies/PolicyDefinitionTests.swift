import AMQPProtocol
import Testing

@testable import BrokerCore

/// What may stand in a policy; the texts are those of RabbitMQ 3.10.8.
@Suite struct PolicyDefinitionTests {
    static let wrong: [(FieldTable, String)] = [
        (["max-length": .int64(-1)], "-1 is not a valid maximum length"),
        (["max-length": .string("a")], "<<\"a\">> is not a valid maximum length"),
        (["max-length": .double(1.5)], "1.5 is not a valid maximum length"),
        (["max-length": .boolean(true)], "true is not a valid maximum length"),
        (["max-length-bytes": .int64(-1)], "-1 is not a valid maximum length in bytes"),
        (["max-in-memory-length": .int64(-1)], "-1 is not a valid maximum memory in bytes"),
        (["message-ttl": .int64(-1)], "-1 is not a valid message TTL"),
        (["expires": .int64(0)], "0 is not a valid queue expiry"),
        (["overflow": .string("x")], "<<\"x\">> is not a valid overflow value"),
        (["overflow": .int64(1)], "1 is not a valid overflow value"),
        (["dead-letter-exchange": .int64(1)], "1 is not a valid dead letter exchange name"),
        (["dead-letter-routing-key": .int64(1)], "1 is not a valid dead letter routing key"),
        (["dead-letter-strategy": .string("x")], "<<\"x\">> is not a valid dead letter strategy"),
        (["delivery-limit": .int64(-1)], "-1 is not a valid delivery limit"),
        (["queue-mode": .string("x")], "<<\"x\">> is not a valid queue-mode value"),
        (["queue-version": .int64(3)], "3 is not a valid queue-version value"),
        (["max-age": .string("1X")], "<<\"1X\">> is not a valid max age"),
        (["alternate-exchange": .int64(1)], "1 is not a valid alternate exchange name"),
        (["queue-master-locator": .string("x")], "<<\"x\">> invalid queue-master-locator value"),
        (["queue-leader-locator": .string("x")], "<<\"x\">> is not a valid queue leader locator value"),
        (["ha-mode": .string("x")], "<<\"x\">> is not a valid ha-mode value"),
        (
            ["max-length": .int64(1), "message-ttl": .int64(-1), "expires": .int64(0)], "0 is not a valid queue expiry"
        ),
        (["nokey": .int64(0)], "[{<<\"nokey\">>,0}] are not recognised policy settings"),
        (
            ["other": .int64(1), "nokey": .int64(0)],
            "[{<<\"nokey\">>,0},{<<\"other\">>,1}] are not recognised policy settings"
        ),
        ([:], "no policy provided"),
    ]

    @Test(arguments: wrong)
    func refuses(definition: FieldTable, text: String) {
        #expect(PolicyDefinition.refusal(of: definition, isOperator: false) == text)
    }

    @Test func acceptsWhatRabbitMQDoes() {
        let definition: FieldTable = [
            "message-ttl": .int64(99_999_999_999_999), "expires": .int64(7), "overflow": .string("drop-head"),
            "alternate-exchange": .string("x"), "max-age": .string("1D"), "ha-mode": .string("all"),
            "queue-mode": .string("lazy"), "dead-letter-exchange": .string(""), "delivery-limit": .int64(0),
        ]
        #expect(PolicyDefinition.refusal(of: definition, isOperator: false) == nil)
    }

    @Test func operatorsOnlyLimit() {
        let text = "[{<<\"dead-letter-exchange\">>,<<\"x\">>}] are not recognised policy settings"
        #expect(PolicyDefinition.refusal(of: ["dead-letter-exchange": .string("x")], isOperator: true) == text)
        #expect(PolicyDefinition.refusal(of: ["max-length": .int64(3)], isOperator: true) == nil)
    }

    @Test func operatorsLowerNumbersAndOverruleTheRest() {
        let merged = PolicyDefinition.merge(
            [
                "max-length": .int64(5), "message-ttl": .int64(9), "overflow": .string("drop-head"),
                "queue-mode": .string("lazy"),
            ],
            operator: [
                "max-length": .int64(3), "message-ttl": .int64(10), "overflow": .string("reject-publish"),
                "expires": .int64(4),
            ]
        )
        #expect(
            merged == [
                "expires": .int64(4), "max-length": .int64(3), "message-ttl": .int64(9),
                "overflow": .string("reject-publish"), "queue-mode": .string("lazy"),
            ]
        )
    }
}
