/// Writes what needs all methods at once: the enum with its decoder, and the names.
enum MethodEnumEmitter {
    private struct Entry {
        var name: String
        var type: String
        var member: String
        var id: UInt32
    }

    private static func entries(_ tables: SpecTables) -> [Entry] {
        tables.classes.flatMap { row in
            row.methods.map { method in
                Entry(
                    name: "\(row.name).\(method.name)",
                    type: SwiftName.type(row.name) + SwiftName.type(method.name),
                    member: SwiftName.member("\(row.name)-\(method.name)"),
                    id: UInt32(row.id) << 16 | UInt32(method.id)
                )
            }
        }
    }

    /// The file with the enum.
    static func file(for tables: SpecTables) -> String {
        let entries = self.entries(tables)
        var source = SourceText(from: "Spec/amqp-0-9-1.json and Spec/extensions.json")
        source.doc("Any method with its arguments.")
        source.block("public enum Method: Sendable, Equatable") { source in
            for entry in entries {
                source.doc("`\(entry.name)`.")
                source.line("case \(entry.member)(\(entry.type))")
            }
        }
        source.line()
        source.block("extension Method") { source in
            source.doc("Reads the arguments of a method to the end of a method frame's payload.")
            source.doc("")
            source.doc("Throws `unknownMethod` for an unknown id and `trailingBytes` when octets are left over.")
            let head = "public static func decode(_ id: MethodID, _ reader: inout WireReader)"
            source.block("\(head) throws(DecodeError) -> Method") { source in
                source.line("let method: Method =")
                source.block("switch id.rawValue") { source in
                    for entry in entries {
                        source.line("case \(self.hex(entry.id)): .\(entry.member)(try \(entry.type)(from: &reader))")
                    }
                    source.line("default: throw .unknownMethod(id)")
                }
                source.line("guard reader.isAtEnd else { throw .trailingBytes }")
                source.line("return method")
            }
            source.line()
            source.doc("The class and method number.")
            source.block("public var id: MethodID") { source in
                source.block("switch self") { source in
                    for entry in entries { source.line("case .\(entry.member): \(entry.type).id") }
                }
            }
            source.line()
            source.doc("The method's struct, for those who encode whatever they are given; allocates.")
            source.block("public var encodable: any EncodableMethod") { source in
                source.block("switch self") { source in
                    for entry in entries { source.line("case .\(entry.member)(let method): method") }
                }
            }
        }
        return source.text
    }

    /// The file with the names.
    static func names(for tables: SpecTables) -> String {
        var source = SourceText(from: "Spec/amqp-0-9-1.json and Spec/extensions.json")
        source.block("extension MethodID") { source in
            source.doc("The name, such as `queue.declare`; the two numbers when there is no such method.")
            source.block("public var name: String") { source in
                source.block("switch self.rawValue") { source in
                    for entry in self.entries(tables) { source.line("case \(self.hex(entry.id)): \"\(entry.name)\"") }
                    source.line("default: \"\\(self.classID).\\(self.methodID)\"")
                }
            }
        }
        return source.text
    }

    private static func hex(_ id: UInt32) -> String {
        let digits = String(id, radix: 16, uppercase: true)
        return "0x" + String(repeating: "0", count: 8 - digits.count) + digits
    }
}
