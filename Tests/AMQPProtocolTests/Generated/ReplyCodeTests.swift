import AMQPProtocol
import Testing

@Suite struct ReplyCodeTests {
    @Test func hasTheCodesOfTheSpecification() {
        let expected: [UInt16] = [
            200, 311, 312, 313, 320, 402, 403, 404, 405, 406, 501, 502, 503, 504, 505, 506, 530, 540, 541,
        ]
        #expect(ReplyCode.allCases.map(\.rawValue) == expected)
    }

    @Test(arguments: [
        (ReplyCode.preconditionFailed, "PRECONDITION_FAILED"), (.notFound, "NOT_FOUND"),
        (.accessRefused, "ACCESS_REFUSED"), (.resourceLocked, "RESOURCE_LOCKED"), (.frameError, "FRAME_ERROR"),
        (.unexpectedFrame, "UNEXPECTED_FRAME"), (.connectionForced, "CONNECTION_FORCED"),
    ])
    func namesCodesAsTextsStart(_ code: ReplyCode, _ name: String) {
        #expect(code.name == name)
    }

    @Test func closesTheConnectionForHardErrorsOnly() {
        let hard = ReplyCode.allCases.filter(\.isConnectionLevel).map(\.rawValue)
        #expect(hard == [320, 402, 501, 502, 503, 504, 505, 506, 530, 540, 541])
    }
}
