/// An address to listen on: a numeric address or host name, and a port if it is not the default one.
///
/// Written `127.0.0.1`, `[::1]`, `::1`, `localhost`, `0.0.0.0:5673` or `[::1]:5673`.
public struct ListenAddress: Hashable, Sendable, CustomStringConvertible {
    /// Numeric address without brackets, or a host name.
    public var host: String
    /// Port, or nil for the port of the server's options.
    public var port: UInt16?
    /// Whether the start fails when the machine does not have this address.
    public var isRequired: Bool

    /// Makes an address.
    public init(host: String, port: UInt16? = nil, isRequired: Bool = true) {
        self.host = host
        self.port = port
        self.isRequired = isRequired
    }

    /// Reads an address; nil when it cannot be one.
    public init?(parsing text: String) {
        self.isRequired = true
        self.port = nil
        if text.hasPrefix("[") {
            guard let end = text.firstIndex(of: "]") else { return nil }
            self.host = String(text[text.index(after: text.startIndex)..<end])
            let rest = text[text.index(after: end)...]
            guard self.host.contains(":") else { return nil }
            if !rest.isEmpty {
                guard rest.hasPrefix(":"), let port = Self.port(rest.dropFirst()) else { return nil }
                self.port = port
            }
        } else {
            let parts = text.split(separator: ":", omittingEmptySubsequences: false)
            if parts.count == 2 {
                guard let port = Self.port(parts[1]) else { return nil }
                self.host = String(parts[0])
                self.port = port
            } else {
                // No colon at all, or the many of a bare IPv6 address.
                self.host = text
            }
        }
        guard Self.isPlausible(self.host) else { return nil }
    }

    /// The address as it is written in a URL, without the port.
    public var urlHost: String { self.isIPv6 ? "[\(self.host)]" : self.host }

    /// The address as it was written.
    public var description: String { self.port.map { "\(self.urlHost):\($0)" } ?? self.urlHost }

    /// Whether this is a numeric IPv6 address.
    var isIPv6: Bool { self.host.contains(":") }

    /// Only digits: `Int("+1")` would pass.
    private static func port(_ text: Substring) -> UInt16? {
        guard !text.isEmpty, text.allSatisfy({ ("0"..."9").contains($0) }) else { return nil }
        return UInt16(text)
    }

    /// Refuses what no resolver would take, so that a typing error is called one; the rest is found out when binding.
    private static func isPlausible(_ host: String) -> Bool {
        guard !host.isEmpty, host.utf8.count <= 253 else { return false }
        if host.contains(":") {
            // A zone (`fe80::1%eth0`) may follow.
            let address = host.prefix { $0 != "%" }
            return address.count >= 2 && address.allSatisfy { $0.isHexDigit || $0 == ":" || $0 == "." }
        }
        if host.allSatisfy({ ("0"..."9").contains($0) || $0 == "." }) {
            let numbers = host.split(separator: ".", omittingEmptySubsequences: false)
            return numbers.count == 4 && numbers.allSatisfy { UInt8($0) != nil }
        }
        return host.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "-" || $0 == "." || $0 == "_") }
    }
}
