import Foundation
import Testing

/// A data directory that an earlier `martlet` has left; `Fixtures/DataDirectories/make` says how it came to be.
struct FixtureDirectory: CustomTestStringConvertible {
    /// What went over a client's connection to a broker with this directory.
    enum Line {
        /// Octets that the client sends.
        case send([UInt8])
        /// The frame that the broker answers.
        case receive([UInt8])
    }

    /// Something that is not as `make` writes it.
    struct Malformed: Error {
        let what: String
    }

    /// The folder's name: the version, and what is in it.
    let name: String

    private static let folder = Fixtures.path("DataDirectories")
    private static let suffix = ".extents"

    var testDescription: String { self.name }

    /// All there are.
    static let all: [FixtureDirectory] = {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: Self.folder)) ?? []
        return names.filter { $0.hasPrefix("v") }.sorted().map(FixtureDirectory.init)
    }()

    /// Writes the files that the directory held.
    func unpack(to directory: String) throws {
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        for name in try FileManager.default.contentsOfDirectory(atPath: "\(Self.folder)/\(self.name)") {
            guard name.hasSuffix(Self.suffix) else { continue }
            let path = "\(directory)/\(name.dropLast(Self.suffix.count))"
            guard FileManager.default.createFile(atPath: path, contents: nil) else { throw Malformed(what: path) }
            let file = try FileHandle(forWritingTo: URL(filePath: path))
            try Self.unpack(try self.read(name), into: file)
            try file.close()
        }
    }

    private static func unpack(_ extents: Data, into file: FileHandle) throws {
        var rest = extents
        while let offset = Self.number(&rest), let count = Self.number(&rest) {
            guard count > 0 else { return try file.truncate(atOffset: offset) }
            try file.seek(toOffset: offset)
            try file.write(contentsOf: rest.prefix(Int(count)))
            rest = rest.dropFirst(Int(count))
        }
        throw Malformed(what: "extents without an end")
    }

    private static func number(_ rest: inout Data) -> UInt64? {
        guard rest.count >= 8 else { return nil }
        defer { rest = rest.dropFirst(8) }
        return rest.prefix(8).reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }

    private func read(_ name: String) throws -> Data {
        try Data(contentsOf: URL(filePath: "\(Self.folder)/\(self.name)/\(name)"))
    }

    /// What a client that looks at everything says, and what it was answered.
    func dialogue() throws -> [Line] {
        try String(decoding: self.read("dialogue"), as: UTF8.self).split(separator: "\n").map { line in
            let octets = try Self.octets(line.dropFirst(2))
            return line.hasPrefix(">") ? .send(octets) : .receive(octets)
        }
    }

    /// Reads hexadecimal digits; a number in brackets is so many zeros.
    private static func octets(_ text: Substring) throws -> [UInt8] {
        var octets: [UInt8] = []
        var rest = text
        while let first = rest.first {
            if first == "(", let end = rest.firstIndex(of: ")"), let count = Int(rest[..<end].dropFirst()) {
                octets += [UInt8](repeating: 0, count: count)
                rest = rest[end...].dropFirst()
            } else {
                guard let octet = UInt8(rest.prefix(2), radix: 16) else { throw Malformed(what: "line \(text)") }
                octets.append(octet)
                rest = rest.dropFirst(2)
            }
        }
        return octets
    }
}
