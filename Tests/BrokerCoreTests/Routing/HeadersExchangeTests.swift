import AMQPProtocol
import Testing

@testable import BrokerCore

/// Routing by the headers of messages.
@Suite struct HeadersExchangeTests {
    /// Messages of the table below, by number.
    private static let messages: [[(ShortString, FieldValue)]] = [
        [],
        [("a", .int32(1))],
        [("a", .int32(1)), ("b", .text("2"))],
        [("b", .text("2")), ("a", .int32(2))],
        [("b", .text("2")), ("x-c", .int32(3))],
        [("x-c", .int32(3))],
        [("a", .void)],
        [("d", .boolean(true)), ("x-c", .int32(3)), ("b", .text("2")), ("a", .int32(1))],
    ]

    private func scene(_ arguments: FieldTable) -> TopologyScene {
        let scene = TopologyScene()
        scene.exchange("e", type: "headers")
        scene.queue("q")
        scene.bind("q", to: "e", with: arguments)
        return scene
    }

    private func isMatch(_ wanted: FieldValue, _ header: FieldValue) -> Bool {
        self.scene(["a": wanted]).route("", through: "e", headers: [("a", header)]) == ["q"]
    }

    @Test(
        arguments: [
            // All is the default; names that begin with x- do not count.
            (["a": .int32(1), "b": .text("2")], [2, 7]),
            (["x-match": .text("all"), "a": .int32(1), "b": .text("2")], [2, 7]),
            (["a": .int32(1), "x-c": .int32(9)], [1, 2, 7]),
            (["x-match": .text("all"), "d": .boolean(true)], [7]),
            (.empty, [0, 1, 2, 3, 4, 5, 6, 7]), (["x-match": .text("all")], [0, 1, 2, 3, 4, 5, 6, 7]),
            (["x-c": .int32(9)], [0, 1, 2, 3, 4, 5, 6, 7]),
            // Any of nothing is nothing.
            (["x-match": .text("any"), "a": .int32(1), "b": .text("2")], [1, 2, 3, 4, 7]),
            (["x-match": .text("any")], []), (["x-match": .text("any"), "x-c": .int32(3)], []),
            // With x- names that begin with x- count, but for x-match itself.
            (["x-match": .text("all-with-x"), "b": .text("2"), "x-c": .int32(3)], [4, 7]),
            (["x-match": .text("all-with-x")], [0, 1, 2, 3, 4, 5, 6, 7]),
            (["x-match": .text("any-with-x"), "a": .int32(2), "x-c": .int32(3)], [3, 4, 5, 7]),
            (["x-match": .text("any-with-x")], []),
            // Void asks for the header to be there, whatever it is.
            (["a": .void], [1, 2, 3, 6, 7]),
            (["x-match": .text("any"), "d": .void, "x-c": .void], [7]),
            (["x-match": .text("any-with-x"), "d": .void, "x-c": .void], [4, 5, 7]),
        ] as [(FieldTable, [Int])]
    )
    func fourModes(arguments: FieldTable, numbers: [Int]) {
        let scene = self.scene(arguments)
        let matching = Self.messages.indices.filter {
            scene.route("", through: "e", headers: Self.messages[$0]) == ["q"]
        }
        #expect(matching == numbers)
    }

    /// Numbers of every type that can be five.
    private static let fives: [FieldValue] = [
        .int8(5), .uint8(5), .int16(5), .uint16(5), .int32(5), .uint32(5), .int64(5), .int64L(5), .float(5), .double(5),
        .timestamp(5),
    ]

    @Test(arguments: fives)
    func numbersAreComparedByValue(wanted: FieldValue) {
        for header in Self.fives {
            #expect(self.isMatch(wanted, header), "\(wanted) \(header)")
        }
        let others: [FieldValue] = [.int32(6), .double(5.5), .text("5"), .boolean(true), .void, .byteArray([5])]
        for header in others {
            #expect(!self.isMatch(wanted, header), "\(wanted) \(header)")
        }
    }

    @Test(
        arguments: [
            (.text("5"), .byteArray(Array("5".utf8)), true), (.byteArray([1, 2]), .longString([1, 2]), true),
            (.text("5"), .int32(5), false), (.text("a"), .text("A"), false), (.text("true"), .boolean(true), false),
            (.text(""), .text(""), true), (.text(""), .void, false),
            (.boolean(true), .bool(2), true), (.boolean(true), .boolean(false), false),
            (.boolean(true), .int32(1), false),
            (.boolean(false), .int32(0), false),
            (.void, .text("whatever"), true), (.void, .void, true), (.int32(1), .void, false),
            (.int64(-1), .uint8(255), false), (.int64(.max), .int64(.max - 1), false),
            // A double has no 2^53 + 1; the comparison is exact all the same.
            (.int64(9_007_199_254_740_993), .double(9_007_199_254_740_992), false),
            (.double(9_007_199_254_740_992), .int64(9_007_199_254_740_992), true),
            (.int64(1), .double(.nan), false), (.double(1e300), .int64(.max), false),
            (.timestamp(.max), .int64(-1), false), (.timestamp(.max), .timestamp(.max), true),
            (.decimal(scale: 1, value: 50), .decimal(scale: 1, value: 50), true),
            (.decimal(scale: 0, value: 5), .int32(5), false),
            (.decimal(scale: 1, value: 50), .decimal(scale: 0, value: 5), false),
            (.table(["k": .int32(1)]), .table(["k": .int32(1)]), true),
            (.table(["k": .int32(1)]), .table(["k": .int32(2)]), false),
        ] as [(FieldValue, FieldValue, Bool)]
    )
    func comparesValues(wanted: FieldValue, header: FieldValue, isMatch: Bool) {
        #expect(self.isMatch(wanted, header) == isMatch)
    }

    @Test func messagesWithoutHeadersMatchWhatAsksForNone() {
        #expect(self.scene(.empty).route("", through: "e", headers: nil) == ["q"])
        #expect(self.scene(["a": .void]).route("", through: "e", headers: nil) == [])
        #expect(self.scene(["x-match": .text("any")]).route("", through: "e", headers: nil) == [])
    }

    @Test func theFirstOfSeveralHeadersOfOneNameCounts() {
        let scene = self.scene(["a": .int32(1)])
        #expect(scene.route("", through: "e", headers: [("a", .int32(1)), ("a", .int32(2))]) == ["q"])
        #expect(scene.route("", through: "e", headers: [("a", .int32(2)), ("a", .int32(1))]) == [])
    }

    @Test func theKeyDoesNotCount() {
        let scene = self.scene(["a": .int32(1)])
        #expect(scene.route("any key", through: "e", headers: [("a", .int32(1))]) == ["q"])
        #expect(scene.bind("q", to: "e", "another key", with: ["a": .int32(1)]) == "+e->q:another key")
    }

    @Test(
        arguments: [
            (.text("some"), "field value <<\"some\">>; expected all, any, all-with-x, or any-with-x"),
            (.text("ALL"), "field value <<\"ALL\">>; expected all, any, all-with-x, or any-with-x"),
            (.text(""), "field value <<>>; expected all, any, all-with-x, or any-with-x"),
            (.int32(1), "field type signedint (value 1); expected longstr"),
            (.boolean(true), "field type bool (value true); expected longstr"),
        ] as [(FieldValue, String)]
    )
    func refusesOtherMatches(value: FieldValue, text: String) {
        let scene = TopologyScene()
        scene.exchange("e", type: "headers")
        scene.queue("q")
        #expect(
            scene.bind("q", to: "e", with: ["x-match": value]) == "channel 406 queue.bind Invalid x-match \(text)"
        )
        // Other exchanges do not look at it.
        scene.exchange("d")
        #expect(scene.bind("q", to: "d", with: ["x-match": value]) == "+d->q:")
    }
}
