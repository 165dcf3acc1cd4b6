import PlainJSON
import Testing

/// Reading and writing JSON.
@Suite struct JSONValueTests {
    @Test(arguments: [
        "null", "true", "false", "0", "-1", "9223372036854775807", "-9223372036854775808", "1.5", "5.0", "\"\"",
        "\"a\\\"b\\\\c\\n\\t\\r\\b\\f\\u0001é😀\"", "[]", "{}", "[1,[2,{}],\"x\"]",
        "{\"b\":1,\"a\":[true,null],\"c\":{\"d\":\"e\"}}",
    ])
    func writesWhatItHasRead(_ text: String) throws {
        #expect(try JSONValue(parsing: text).line == text)
    }

    @Test(arguments: [
        (" [ 1 ,\t2\r\n] ", JSONValue.array([1, 2])),
        ("1e3", .number(1_000)), ("-0.5E+1", .number(-5)),
        ("9223372036854775808", .number(9_223_372_036_854_775_808)),
        ("\"\\u00e9\\ud83d\\ude00\\/\"", "é😀/"),
        ("{\"a\":1,\"a\":2}", .object([.init("a", 1), .init("a", 2)])),
    ])
    func readsOtherWaysOfWriting(_ text: String, _ value: JSONValue) throws {
        #expect(try JSONValue(parsing: text) == value)
    }

    @Test(arguments: [
        "", " ", "nul", "truex", "01", "-", "1.", ".5", "1e", "+1", "NaN", "\"", "\"\\x\"", "\"\\u12\"", "\"\n\"",
        "\"\\ud800\"", "\"\\ud800\\u0041\"", "\"\\udc00\"", "[", "[1,]", "[1 2]", "{", "{\"a\"}", "{\"a\":}", "{a:1}",
        "{\"a\":1,}", "1 2", "[]]", "notjson", "'a'",
    ])
    func refusesWhatIsNoJSON(_ text: String) {
        #expect(throws: JSONError.self) { try JSONValue(parsing: text) }
    }

    @Test func refusesEveryBeginningOfAText() throws {
        let text = Array("{\"a\":[1.5,true,{\"b\":\"x\\u00e9\"}],\"c\":null}".utf8)
        for length in 0..<text.count {
            #expect(throws: JSONError.self) { try JSONValue(parsing: text[..<length]) }
        }
        _ = try JSONValue(parsing: text)
    }

    @Test func hasALimitOfDepth() throws {
        func nested(_ depth: Int) -> String {
            String(repeating: "[", count: depth) + String(repeating: "]", count: depth)
        }
        _ = try JSONValue(parsing: nested(64))
        #expect(throws: JSONError.self) { try JSONValue(parsing: nested(65)) }
        #expect(throws: JSONError.self) { try JSONValue(parsing: String(repeating: "[{\"a\":", count: 100_000)) }
    }

    @Test func findsTheLastMemberOfAName() throws {
        let value = try JSONValue(parsing: "{\"a\":1,\"b\":\"x\",\"a\":2,\"c\":[true]}")
        #expect(value["a"]?.integer == 2)
        #expect(value["b"]?.text == "x")
        #expect(value["c"]?.items?.first?.bool == true)
        #expect(value["d"] == nil)
        #expect(value["b"]?.integer == nil)
    }

    @Test func writesNoNumberThatJSONDoesNotKnow() {
        #expect(JSONValue.array([.number(.infinity), .number(.nan)]).line == "[null,null]")
    }

    @Test func mendsTextThatIsNoUnicode() throws {
        let value = try JSONValue(parsing: [UInt8(ascii: "\""), 0xFF, UInt8(ascii: "\"")])
        #expect(value == "\u{FFFD}")
    }
}
