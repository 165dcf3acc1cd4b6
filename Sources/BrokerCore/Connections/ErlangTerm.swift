/// Bytes as RabbitMQ prints them in its refusals: an Erlang binary.
enum ErlangTerm {
    /// Always `<<1,2,3>>`.
    static func octets(_ bytes: UnsafeRawBufferPointer) -> String {
        "<<" + bytes.prefix(256).map { String($0) }.joined(separator: ",") + (bytes.count > 256 ? "" : ">>")
    }

    /// `<<"text">>` for printable bytes, `<<1,2,3>>` for others.
    static func binary(_ bytes: UnsafeRawBufferPointer) -> String {
        guard !bytes.isEmpty else { return "<<>>" }
        let isPrintable = bytes.allSatisfy { byte in
            (32...126).contains(byte) || (160...255).contains(byte) || (8...13).contains(byte) || byte == 27
        }
        // A reply text holds 255 octets: more than that many bytes need not be rendered.
        let shown = bytes.prefix(256)
        guard isPrintable else {
            return Self.octets(bytes)
        }
        var text = "<<\""
        for byte in shown {
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
        return text + (bytes.count > 256 ? "" : "\">>")
    }
}
