/// Why a frame was not taken.
enum FrameReason {
    /// Its type is unknown, or it is too short for what it is.
    case unknownFrame
    /// It ends in this octet.
    case invalidEnd(UInt8)
}

/// Bytes as RabbitMQ prints them in its refusals: an Erlang binary.
enum ErlangTerm {
    /// Always `<<1,2,3>>`.
    static func octets(_ bytes: UnsafeRawBufferPointer) -> String {
        "<<" + bytes.prefix(256).map { String($0) }.joined(separator: ",") + (bytes.count > 256 ? "" : ">>")
    }

    /// What is said of a frame that cannot be taken: its type, its first octets, and why if that is to be said.
    ///
    /// RabbitMQ has its terms laid out for lines of 80 columns, so there can be line ends in it.
    static func frame(_ type: UInt8, _ payload: UnsafeRawBufferPointer, _ reason: FrameReason? = nil) -> ReplyText {
        let isWhole = payload.count <= 16
        let start = "type \(type), \(isWhole ? "all" : "first 16") octets = "
        let shown = Self.binary(UnsafeRawBufferPointer(rebasing: payload.prefix(16)))
        let text = start + (shown.hasPrefix("<<\"") ? shown : Self.laidOut(shown, at: start.utf8.count))
        switch reason {
        case nil:
            return Self.latin1(text)
        case .unknownFrame:
            return Self.latin1(text + ": unknown_frame")
        case .invalidEnd(let end):
            let column = (text.split(separator: "\n").last?.unicodeScalars.count ?? 0) + 2
            let tuple = "{invalid_frame_end_marker,"
            let isOneLine = column + tuple.utf8.count + "\(end)}".utf8.count < Self.lineColumns
            let gap = isOneLine ? "" : "\n" + String(repeating: " ", count: column + 1)
            return Self.latin1(text + ": " + tuple + gap + "\(end)}")
        }
    }

    /// One octet for each character: what is printable is told as the octets that came.
    private static func latin1(_ text: String) -> ReplyText {
        var reply = ReplyText("")
        reply.bytes = text.unicodeScalars.map { UInt8(truncatingIfNeeded: $0.value) }
        return reply
    }

    private static let lineColumns = 80

    /// `<<1,2,3>>` that begins at this column, broken where the line is full.
    private static func laidOut(_ binary: String, at start: Int) -> String {
        var text = "<<"
        var column = start + 2
        let numbers = binary.dropFirst(2).dropLast(2).split(separator: ",")
        for (index, number) in numbers.enumerated() {
            let isLast = index == numbers.count - 1
            let width = number.utf8.count + (isLast ? 0 : 1)
            if column + width >= Self.lineColumns && index > 0 {
                text += "\n" + String(repeating: " ", count: start + 2)
                column = start + 2
            }
            text += number + (isLast ? "" : ",")
            column += width
        }
        return text + ">>"
    }

    /// `<<"text">>` for printable bytes, `<<1,2,3>>` for others.
    static func binary(_ bytes: UnsafeRawBufferPointer) -> String {
        guard !bytes.isEmpty else { return "<<>>" }
        guard bytes.allSatisfy({ self.isPrintable($0) }) else { return Self.octets(bytes) }
        var text = "<<\""
        // A reply text holds 255 octets: more than that many bytes need not be rendered.
        for byte in bytes.prefix(256) {
            self.append(byte, to: &text)
        }
        return text + (bytes.count > 256 ? "" : "\">>")
    }

    /// `"text"` for printable bytes, `[1,2,3]` for others: as an Erlang list, and of UTF-8 as what is meant.
    static func list(_ bytes: some Collection<UInt8>) -> String {
        guard bytes.allSatisfy({ self.isPrintable($0) }) else {
            return "[" + bytes.prefix(256).map { String($0) }.joined(separator: ",") + "]"
        }
        var escaped: [UInt8] = []
        for byte in bytes.prefix(256) {
            guard byte < 128 else {
                escaped.append(byte)
                continue
            }
            var text = ""
            self.append(byte, to: &text)
            escaped.append(contentsOf: text.utf8)
        }
        return "\"" + String(decoding: escaped, as: UTF8.self) + "\""
    }

    private static func isPrintable(_ byte: UInt8) -> Bool {
        (32...126).contains(byte) || (160...255).contains(byte) || (8...13).contains(byte) || byte == 27
    }

    private static func append(_ byte: UInt8, to text: inout String) {
        switch byte {
        case 8: text += "\\b"
        case 9: text += "\\t"
        case 10: text += "\\n"
        case 11: text += "\\v"
        case 12: text += "\\f"
        case 13: text += "\\r"
        case 27: text += "\\e"
        case UInt8(ascii: "\""): text += "\\\""
        case UInt8(ascii: "\\"): text += "\\\\"
        default: text.unicodeScalars.append(Unicode.Scalar(byte))
        }
    }
}
