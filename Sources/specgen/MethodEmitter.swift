/// Writes one struct for each method of a class.
enum MethodEmitter {
    /// The file of a class.
    static func file(for row: ClassRow, in tables: SpecTables) -> String {
        var source = SourceText(from: "Spec/amqp-0-9-1.json and Spec/extensions.json")
        for (index, method) in row.methods.enumerated() {
            if index > 0 { source.line() }
            self.emit(method, of: row, into: &source)
        }
        return source.text
    }

    /// A step of encoding or decoding: one value, or the octet shared by neighbouring bits.
    private enum Step {
        case value(FieldRow)
        case bits([FieldRow])
    }

    /// Joins neighbouring bits, at most eight to an octet.
    private static func steps(_ fields: [FieldRow]) -> [Step] {
        var steps: [Step] = []
        for field in fields {
            if field.type != .bit {
                steps.append(.value(field))
            } else if case .bits(let bits) = steps.last, bits.count < 8 {
                steps[steps.count - 1] = .bits(bits + [field])
            } else {
                steps.append(.bits([field]))
            }
        }
        return steps
    }

    private static func emit(_ method: MethodRow, of row: ClassRow, into source: inout SourceText) {
        let name = SwiftName.type(row.name) + SwiftName.type(method.name)
        let members = method.fields.filter { $0.reserved != true }
        let steps = self.steps(method.fields)
        source.doc("The arguments of `\(row.name).\(method.name)`.")
        source.doc("")
        source.doc("\(self.role(of: method, in: row)) Source: \(method.source).")
        source.block("public struct \(name): EncodableMethod, Equatable") { source in
            self.emitMembers(members, into: &source)
            source.line()
            source.doc("The class and method number.")
            let id = "MethodID(classID: \(row.id), methodID: \(method.id))"
            source.line("@inlinable public static var id: MethodID { \(id) }")
            source.line()
            self.emitSize(steps, into: &source)
            source.line()
            source.doc("Reads the arguments; octets after them are the caller's to judge.")
            source.line("@inlinable")
            source.block("public init(from reader: inout WireReader) throws(DecodeError)") { source in
                for (index, step) in steps.enumerated() { self.emitRead(step, index, into: &source) }
            }
            source.line()
            source.doc("Writes the payload: class, method and arguments.")
            source.line("@inlinable")
            source.block("public func encode(into writer: inout WireWriter)") { source in
                source.line("writer.write(Self.id.rawValue)")
                for (index, step) in steps.enumerated() { self.emitWrite(step, index, into: &source) }
            }
        }
    }

    private static func role(of method: MethodRow, in row: ClassRow) -> String {
        let sender =
            switch method.from {
            case .client: "Sent by the client"
            case .server: "Sent by the server"
            case .both: "Sent by either side"
            }
        let replies = (method.replies ?? []).map { "`\(row.name).\($0)`" }.joined(separator: " or ")
        let answer = replies.isEmpty ? "" : ", answered by \(replies)"
        return sender + answer + (method.content == true ? ", followed by content." : ".")
    }

    private static func emitMembers(_ members: [FieldRow], into source: inout SourceText) {
        for member in members {
            source.doc("The argument `\(member.name)`.")
            source.line("public var \(SwiftName.declared(member.name)): \(member.type.swiftType)")
        }
        if !members.isEmpty { source.line() }
        let isEmpty = members.isEmpty
        source.doc(isEmpty ? "Makes the method, which has no arguments." : "Makes the method from its arguments.")
        source.line("@inlinable")
        let parameters = members.map {
            "\(SwiftName.declared($0.name)): \($0.type.swiftType) = \($0.type.defaultValue)"
        }
        source.block("public init(\(parameters.joined(separator: ", ")))") { source in
            for member in members {
                source.line("self.\(SwiftName.member(member.name)) = \(SwiftName.declared(member.name))")
            }
        }
    }

    private static func emitSize(_ steps: [Step], into source: inout SourceText) {
        var fixed = 4
        var extra: [String] = []
        for step in steps {
            switch step {
            case .bits: fixed += 1
            case .value(let field):
                fixed += field.type.minimumSize
                guard field.reserved != true else { continue }
                if let more = field.type.extraSize("self.\(SwiftName.member(field.name))") { extra.append(more) }
            }
        }
        source.doc("The octets of the payload.")
        let sum = ([String(fixed)] + extra).joined(separator: " + ")
        source.line("@inlinable public var encodedSize: Int { \(sum) }")
    }

    private static func emitRead(_ step: Step, _ index: Int, into source: inout SourceText) {
        switch step {
        case .value(let field) where field.reserved == true:
            source.line(field.type.skip)
        case .value(let field):
            source.line("self.\(SwiftName.member(field.name)) = \(field.type.read(isName: field.utf8 != false))")
        case .bits(let fields):
            guard fields.contains(where: { $0.reserved != true }) else {
                source.line(WireType.bit.skip)
                return
            }
            source.line("let bits\(index) = try reader.readUInt8()")
            for (bit, field) in fields.enumerated() where field.reserved != true {
                source.line("self.\(SwiftName.member(field.name)) = bits\(index) & \(1 << bit) != 0")
            }
        }
    }

    private static func emitWrite(_ step: Step, _ index: Int, into source: inout SourceText) {
        switch step {
        case .value(let field) where field.reserved == true:
            source.line(field.type.writeReserved)
        case .value(let field):
            source.line(field.type.write("self.\(SwiftName.member(field.name))"))
        case .bits(let fields):
            let members = fields.enumerated().filter { $0.element.reserved != true }
            guard !members.isEmpty else {
                source.line(WireType.bit.writeReserved)
                return
            }
            source.line("var bits\(index): UInt8 = 0")
            for (bit, field) in members {
                source.line("if self.\(SwiftName.member(field.name)) { bits\(index) |= \(1 << bit) }")
            }
            source.line("writer.write(bits\(index))")
        }
    }
}
