/// A set of octets: what one place of a pattern accepts.
struct ByteSet: Equatable, Sendable {
    private var words: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)

    /// The empty set.
    init() {}

    /// A set of some octets.
    init(_ octets: some Sequence<UInt8>) {
        for octet in octets { self.insert(octet) }
    }

    /// Every octet.
    static let all = ByteSet(0...255)

    /// Whether an octet is in it.
    @inline(__always)
    func contains(_ octet: UInt8) -> Bool {
        let bit = UInt64(1) << UInt64(octet & 63)
        switch octet >> 6 {
        case 0: return self.words.0 & bit != 0
        case 1: return self.words.1 & bit != 0
        case 2: return self.words.2 & bit != 0
        default: return self.words.3 & bit != 0
        }
    }

    /// Adds an octet.
    mutating func insert(_ octet: UInt8) {
        let bit = UInt64(1) << UInt64(octet & 63)
        switch octet >> 6 {
        case 0: self.words.0 |= bit
        case 1: self.words.1 |= bit
        case 2: self.words.2 |= bit
        default: self.words.3 |= bit
        }
    }

    /// What either has.
    func union(_ other: ByteSet) -> ByteSet {
        var set = self
        set.words.0 |= other.words.0
        set.words.1 |= other.words.1
        set.words.2 |= other.words.2
        set.words.3 |= other.words.3
        return set
    }

    /// What this has not.
    var inverted: ByteSet {
        var set = self
        set.words = (~self.words.0, ~self.words.1, ~self.words.2, ~self.words.3)
        return set
    }

    /// With the other case of every ASCII letter in it.
    var withBothCases: ByteSet {
        var set = self
        for letter in UInt8(ascii: "a")...UInt8(ascii: "z") {
            let capital = letter - 32
            if self.contains(letter) { set.insert(capital) }
            if self.contains(capital) { set.insert(letter) }
        }
        return set
    }

    static func == (left: ByteSet, right: ByteSet) -> Bool { left.words == right.words }
}

extension ByteSet {
    /// What `\d` takes.
    static let digits = ByteSet(UInt8(ascii: "0")...UInt8(ascii: "9"))
    /// What `\w` takes.
    static let wordOctets = Self.letters.union(.digits).union(ByteSet([UInt8(ascii: "_")]))
    /// What `\s` takes.
    static let spaces = ByteSet([9, 10, 11, 12, 13, 32])
    /// What `\h` takes.
    static let horizontalSpaces = ByteSet([9, 32, 0xA0])
    /// What `\v` takes.
    static let verticalSpaces = ByteSet([10, 11, 12, 13, 0x85])
    /// What `.` takes without `(?s)`.
    static let notNewline = ByteSet([10]).inverted

    private static let lower = ByteSet(UInt8(ascii: "a")...UInt8(ascii: "z"))
    private static let upper = ByteSet(UInt8(ascii: "A")...UInt8(ascii: "Z"))
    private static let letters = Self.lower.union(.upper)

    /// A class between `[:` and `:]`; nil when there is none of that name.
    init?(posix name: String) {
        switch name {
        case "alpha": self = .letters
        case "lower": self = .lower
        case "upper": self = .upper
        case "digit": self = .digits
        case "alnum": self = .letters.union(.digits)
        case "word": self = .wordOctets
        case "space": self = .spaces
        case "blank": self = ByteSet([9, 32])
        case "cntrl": self = ByteSet(0...31).union(ByteSet([127]))
        case "graph": self = ByteSet(33...126)
        case "print": self = ByteSet(32...126)
        case "punct":
            self = ByteSet((33...126).filter { !ByteSet.letters.union(.digits).contains($0) })
        case "xdigit":
            self = .digits.union(ByteSet(Array("abcdefABCDEF".utf8)))
        case "ascii": self = ByteSet(0...127)
        default: return nil
        }
    }
}
