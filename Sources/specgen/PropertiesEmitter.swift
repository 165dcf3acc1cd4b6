/// Writes the struct of content properties and the constants of their flags.
enum PropertiesEmitter {
    /// The file.
    static func file(for tables: SpecTables) -> String {
        var source = SourceText(from: "Spec/amqp-0-9-1.json")
        self.emitFlags(tables.properties, into: &source)
        source.line()
        source.doc("The properties of a message, each present or absent.")
        source.doc("")
        source.doc("The message path does not build this value; see ``PropertyScan``.")
        source.block("public struct BasicProperties: Sendable, Equatable") { source in
            for row in tables.properties {
                source.doc("The property `\(row.name)`.")
                source.line("public var \(SwiftName.declared(row.name)): \(row.type.swiftType)?")
            }
            source.line()
            source.doc("Makes properties from those that are present.")
            let parameters = tables.properties.map {
                "\(SwiftName.declared($0.name)): \($0.type.swiftType)? = nil"
            }
            source.block("public init(\(parameters.joined(separator: ", ")))") { source in
                for row in tables.properties {
                    source.line("self.\(SwiftName.member(row.name)) = \(SwiftName.declared(row.name))")
                }
            }
        }
        source.line()
        self.emitCoding(tables.properties, into: &source)
        return source.text
    }

    private static func emitFlags(_ rows: [PropertyRow], into source: inout SourceText) {
        source.doc("The bits of the flags word that say which properties are present.")
        source.block("public enum PropertyFlags") { source in
            for row in rows {
                source.doc("`\(row.name)` is present.")
                source.line("@inlinable public static var \(SwiftName.declared(row.name)): UInt16 { 1 << \(row.bit) }")
            }
            let used = rows.reduce(UInt16(0)) { $0 | 1 << UInt16($1.bit) }
            source.doc("The bits that stand for a property; RabbitMQ ignores the one that does not.")
            source.line("@inlinable public static var all: UInt16 { \(used) }")
            source.doc("Another flags word follows, which no property of this class needs.")
            source.line("@inlinable public static var continuation: UInt16 { 1 }")
        }
    }

    private static func emitCoding(_ rows: [PropertyRow], into source: inout SourceText) {
        source.block("extension BasicProperties") { source in
            source.doc("The flags word: one bit for each property that is present.")
            source.block("public var flags: UInt16") { source in
                source.line("var flags: UInt16 = 0")
                for row in rows {
                    let name = SwiftName.member(row.name)
                    source.line("if self.\(name) != nil { flags |= PropertyFlags.\(name) }")
                }
                source.line("return flags")
            }
            source.line()
            source.doc("The octets of flags and values.")
            source.block("public var encodedSize: Int") { source in
                source.line("var size = 2")
                for row in rows {
                    let name = SwiftName.member(row.name)
                    if let extra = row.type.extraSize("value") {
                        source.line("if let value = self.\(name) { size += \(row.type.minimumSize) + \(extra) }")
                    } else {
                        source.line("if self.\(name) != nil { size += \(row.type.minimumSize) }")
                    }
                }
                source.line("return size")
            }
            source.line()
            source.doc("Writes flags and values.")
            source.block("public func encode(into writer: inout WireWriter)") { source in
                source.line("writer.write(self.flags)")
                for row in rows {
                    let statement = row.type.write("value")
                    source.line("if let value = self.\(SwiftName.member(row.name)) { \(statement) }")
                }
            }
            source.line()
            source.doc("Reads flags and values, which must fill the rest of a content header's payload.")
            source.block("public init(from reader: inout WireReader) throws(DecodeError)") { source in
                source.line("let flags = try reader.readUInt16()")
                source.line("guard flags & PropertyFlags.continuation == 0 else { throw .malformedProperties }")
                for row in rows {
                    let name = SwiftName.member(row.name)
                    let read = row.type.read(isName: false)
                    source.line("self.\(name) = flags & PropertyFlags.\(name) != 0 ? \(read) : nil")
                }
                source.line("guard reader.isAtEnd else { throw .trailingBytes }")
            }
        }
    }
}
