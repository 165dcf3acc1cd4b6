internal import BrokerServer
internal import Configuration
#if canImport(FoundationEssentials)
internal import FoundationEssentials
#else
internal import Foundation
#endif
#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#elseif canImport(Darwin)
internal import Darwin
#endif

/// A configuration file: a JSON object, whose members may be objects.
///
/// swift-configuration reads JSON too, with the whole of Foundation and its tables of all languages; those would be a
/// quarter of the memory that an idle broker takes.
struct ConfigurationFile {
    /// More is not configuration.
    static let maxBytes = 1 << 20

    /// Values by path, `tls.port` for `port` in the object `tls`.
    private(set) var values: [String: ConfigContent] = [:]
    /// Paths of values that no setting could be, such as lists of lists.
    private(set) var unusable: [String] = []

    /// Reads a file.
    init(path: String) throws(StartFailure) {
        let tree: Node
        do {
            tree = try JSONDecoder().decode(Node.self, from: Data(try Self.octets(ofFileAt: path)))
        } catch let failure as StartFailure {
            throw failure
        } catch {
            throw Self.malformed(path)
        }
        guard case .object(let members) = tree else { throw Self.malformed(path) }
        self.add(members, below: "")
    }

    /// The paths of all values.
    var paths: [String] { self.values.keys + self.unusable }

    private mutating func add(_ members: [String: Node], below path: String) {
        for (name, node) in members {
            let path = path.isEmpty ? name : "\(path).\(name)"
            switch node {
            case .null: break
            case .boolean(let value): self.values[path] = .bool(value)
            case .integer(let value): self.values[path] = .int(value)
            case .number(let value): self.values[path] = .double(value)
            case .text(let value): self.values[path] = .string(value)
            case .texts(let values): self.values[path] = .stringArray(values)
            case .object(let members): self.add(members, below: path)
            case .other: self.unusable.append(path)
            }
        }
    }

    private static func malformed(_ path: String) -> StartFailure {
        StartFailure("configuration file \(path) is not a JSON object of settings", isConfiguration: true)
    }

    private static func octets(ofFileAt path: String) throws(StartFailure) -> [UInt8] {
        func failure(_ reason: String) -> StartFailure {
            StartFailure("cannot read configuration file \(path): \(reason)", isConfiguration: true)
        }
        let file = open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { throw failure(String(cString: strerror(errno))) }
        defer { close(file) }
        var octets: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 64 * 1024)
        while true {
            let count = read(file, &piece, piece.count)
            if count < 0 && errno == EINTR { continue }
            guard count >= 0 else { throw failure(String(cString: strerror(errno))) }
            guard count > 0 else { return octets }
            octets.append(contentsOf: piece[..<count])
            guard octets.count <= Self.maxBytes else { throw failure("larger than \(Self.maxBytes) octets") }
        }
    }

    /// A value of the file.
    private enum Node: Decodable {
        case null
        case boolean(Bool)
        case integer(Int)
        case number(Double)
        case text(String)
        case texts([String])
        case object([String: Node])
        case other

        init(from decoder: any Decoder) throws {
            if let members = try? [String: Node](from: decoder) {
                self = .object(members)
                return
            }
            guard let value = try? decoder.singleValueContainer() else {
                self = .other
                return
            }
            if value.decodeNil() {
                self = .null
            } else if let boolean = try? value.decode(Bool.self) {
                self = .boolean(boolean)
            } else if let integer = try? value.decode(Int.self) {
                self = .integer(integer)
            } else if let number = try? value.decode(Double.self) {
                self = .number(number)
            } else if let text = try? value.decode(String.self) {
                self = .text(text)
            } else if let texts = try? value.decode([String].self) {
                self = .texts(texts)
            } else {
                self = .other
            }
        }
    }
}
