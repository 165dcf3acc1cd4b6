/// A part of a pattern as it was written.
indirect enum PatternNode {
    /// Something that depends on the place alone and takes no octet.
    enum Anchor: UInt8 {
        /// `\A`, and `^` unless `(?m)`.
        case start
        /// `^` under `(?m)`.
        case lineStart
        /// `\z`.
        case end
        /// `\Z`, and `$` unless `(?m)`: the end, or in front of a line break that ends the text.
        case endOrLastBreak
        /// `$` under `(?m)`.
        case lineEnd
        /// `\b`.
        case wordEdge
        /// `\B`.
        case noWordEdge
    }

    /// Nothing, which is always there.
    case empty
    /// One octet out of a set.
    case octet(ByteSet)
    /// A place.
    case anchor(Anchor)
    /// One after the other.
    case sequence([PatternNode])
    /// One of several.
    case choice([PatternNode])
    /// Again and again; no `most` is no limit.
    case repetition(PatternNode, least: Int, most: Int?)
    /// `(?=…)`, `(?!…)`, `(?<=…)`, `(?<!…)`.
    case look(PatternNode, isBehind: Bool, isNegative: Bool)
}

/// Why a text is no pattern, in PCRE's words, and where.
struct PatternError: Error, Equatable {
    /// What is wrong.
    let reason: String
    /// The octet at which it was found.
    let position: Int

    /// As RabbitMQ prints it.
    var erlangTerm: String {
        let quoted = self.reason.map { $0 == "\\" || $0 == "\"" ? "\\\($0)" : String($0) }.joined()
        return "{\"\(quoted)\",\(self.position)}"
    }
}
